/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>

#include "sense/procfs_private.h"

/* Environments hold secrets: nothing but the variables that policies name is kept of them. */

/* 3/4 of _STK_LIM: arguments and environment together are never more (fs/exec.c, bprm_stack_limits). */
#define ENVIRON_MAX (6U << 20)
#define ENVIRON_CHUNK 4096

void proc_env_clear(struct procfs *procfs)
{
	procfs->n_env = 0;
	/* A value may be a secret: not longer than it is used. */
	explicit_bzero(procfs->arena, procfs->arena_used);
	procfs->arena_used = 0;
}

const char *proc_env_find(const struct procfs *procfs, const char *name)
{
	for (size_t i = 0; i < procfs->n_env; i++)
		if (streq(procfs->env[i].name, name))
			return procfs->env[i].value;
	return NULL;
}

/* The wanted name that entry begins with, or NULL. */
static const char *name_of(const struct procfs *procfs, const char *entry, size_t size)
{
	const char *equal = memchr(entry, '=', MIN2(size, (size_t)PROCFS_ENV_NAME_MAX));
	size_t length;

	if (!equal)
		return NULL;
	length = (size_t)(equal - entry);
	for (size_t i = 0; i < procfs->n_env_names; i++)
		if (strncmp(procfs->env_names[i], entry, length) == 0 && procfs->env_names[i][length] == '\0')
			return procfs->env_names[i];
	return NULL;
}

void proc_env_add(struct procfs *procfs, const char *entry, size_t size)
{
	const char *name = name_of(procfs, entry, size), *value;
	size_t length;
	char *to;

	/* The first of a name counts, as for getenv(3). */
	if (!name || proc_env_find(procfs, name) || procfs->n_env >= PROCFS_ENV_NAMES_MAX)
		return;
	value = entry + strlen(name) + 1;
	length = MIN2(size - (strlen(name) + 1), (size_t)PROCFS_ENV_VALUE_MAX);
	if (procfs->arena_used + length + 1 > sizeof(procfs->arena))
		return;
	to = procfs->arena + procfs->arena_used;
	memcpy(to, value, length);
	to[length] = '\0';
	procfs->arena_used += length + 1;
	procfs->env[procfs->n_env++] = (struct proc_env){.name = name, .value = to};
}

/* Entries may be longer than what is kept of them: the rest is skipped. */
struct env_entry {
	char bytes[PROCFS_ENV_NAME_MAX + 1 + PROCFS_ENV_VALUE_MAX];
	size_t size;
};

static void entry_feed(struct procfs *procfs, struct env_entry *entry, const char *chunk, size_t size)
{
	while (size > 0) {
		const char *end = memchr(chunk, '\0', size);
		size_t part = end ? (size_t)(end - chunk) : size;
		size_t room = sizeof(entry->bytes) - entry->size;

		memcpy(entry->bytes + entry->size, chunk, MIN2(part, room));
		entry->size += MIN2(part, room);
		if (!end)
			return;
		proc_env_add(procfs, entry->bytes, entry->size);
		entry->size = 0;
		chunk += part + 1;
		size -= part + 1;
	}
}

int proc_env_read(struct procfs *procfs, int dir_fd)
{
	_cleanup_close_ int fd = -EBADF;
	char chunk[ENVIRON_CHUNK];
	struct env_entry entry = {.size = 0};
	size_t total = 0;

	proc_env_clear(procfs);
	if (procfs->n_env_names == 0)
		return 0;
	fd = openat(dir_fd, "environ", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (total < ENVIRON_MAX) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		entry_feed(procfs, &entry, chunk, (size_t)n);
		total += (size_t)n;
	}
	if (entry.size > 0)
		proc_env_add(procfs, entry.bytes, entry.size);
	explicit_bzero(chunk, sizeof(chunk));
	explicit_bzero(&entry, sizeof(entry));
	return 0;
}
