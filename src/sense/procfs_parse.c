/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/file.h"
#include "base/text.h"
#include "sense/procfs_private.h"

/* ---- /proc/PID/stat, cgroup, status ------------------------------------------------------------------------------ */

/* The numbers that are used, by field as proc_pid_stat(5) counts them. */
static const struct {
	unsigned field;
	size_t offset;
} stat_fields[] = {
	{9, offsetof(struct proc_stat, flags)},	       {20, offsetof(struct proc_stat, threads)},
	{22, offsetof(struct proc_stat, start_ticks)}, {28, offsetof(struct proc_stat, start_stack)},
	{48, offsetof(struct proc_stat, arg_start)},   {50, offsetof(struct proc_stat, env_start)},
};

int proc_stat_parse(const char *text, struct proc_stat *ret_stat)
{
	struct proc_stat stat = {};
	const char *at = strrchr(text, ')');
	char *end;
	size_t next = 0;

	/* No field behind the comm has a parenthesis. */
	if (!at || at[1] != ' ' || !at[2] || at[3] != ' ')
		return -EBADMSG;
	stat.state = at[2];
	at += 4;
	for (unsigned field = 4; next < ELEMENTSOF(stat_fields); field++) {
		unsigned long long value;

		errno = 0;
		value = strtoull(at, &end, 10);
		if (end == at || errno != 0)
			return -EBADMSG;
		if (field == 4)
			stat.ppid = (pid_t)value;
		if (field == stat_fields[next].field)
			*(uint64_t *)(void *)((char *)&stat + stat_fields[next++].offset) = value;
		at = end;
	}
	*ret_stat = stat;
	return 0;
}

int proc_cgroup_parse(const char *text, char *path, size_t size)
{
	for (const char *line = text; *line;) {
		size_t length = strcspn(line, "\n");

		if (strncmp(line, "0::/", 4) != 0) {
			line += length + (line[length] != '\0');
			continue;
		}
		line += 3;
		length -= 3;
		if (length >= size)
			return -ENAMETOOLONG;
		memcpy(path, line, length);
		path[length] = '\0';
		file_strip_deleted(path);
		return 0;
	}
	return -ENODATA;
}

int proc_uid_parse(const char *text, uid_t *ret_uid)
{
	/* The kernel escapes newlines in Name:, so no process makes such a line itself. */
	const char *line = strstr(text, "\nUid:\t");
	unsigned long uid;
	char *end;

	if (!line)
		return -EBADMSG;
	line += strlen("\nUid:\t");
	errno = 0;
	uid = strtoul(line, &end, 10);
	if (end == line || errno != 0 || uid > UINT32_MAX)
		return -EBADMSG;
	*ret_uid = (uid_t)uid;
	return 0;
}

/* ---- arguments and script ---------------------------------------------------------------------------------------- */

void proc_path_normalize(char *path)
{
	char *to = path, *from = path;

	/* Invariant: path..to is normal and doesn't end in a slash. */
	while (*from) {
		size_t length;

		while (*from == '/')
			from++;
		length = strcspn(from, "/");
		if (length == 0)
			break;
		if (length == 2 && from[0] == '.' && from[1] == '.') {
			while (to > path && *--to != '/')
				;
		} else if (length != 1 || from[0] != '.') {
			*to++ = '/';
			memmove(to, from, length);
			to += length;
		}
		from += length;
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
}

void proc_image_set_args(struct proc_image *image, const char *bytes, size_t size)
{
	image->is_truncated = size > PROC_ARGS_MAX;
	if (size > PROC_ARGS_MAX)
		size = PROC_ARGS_MAX;
	if (bytes != image->args)
		memmove(image->args, bytes, size);
	/* What setproctitle() leaves empty isn't arguments; of the last one's own NUL nothing is lost. */
	while (size > 0 && image->args[size - 1] == '\0')
		size--;
	image->args[size] = '\0';
	image->args_size = size;
}

static size_t image_argv(const struct proc_image *image, const char **argv)
{
	const char *at = image->args, *end = image->args + image->args_size;
	size_t n = 0;

	while (at < end && n < PROCFS_ARGV_MAX) {
		argv[n++] = at;
		at += strlen(at) + 1;
	}
	return n;
}

/* The script as it stands in the arguments, or NULL. */
static const char *image_script(const struct proc_image *image, const char *base)
{
	const char *argv[PROCFS_ARGV_MAX];
	size_t n = image_argv(image, argv);
	int index;

	if (n == 0)
		return NULL;
	index = proc_script_index(base, argv, n);
	return index >= 0 && (size_t)index < n && argv[index][0] ? argv[index] : NULL;
}

bool proc_image_needs_cwd(struct proc_image *image, const char *base)
{
	const char *script = image_script(image, base);

	return script && script[0] != '/';
}

void proc_image_find_script(struct proc_image *image, const char *base, const char *cwd)
{
	const char *script = image_script(image, base);
	int n;

	image->script[0] = '\0';
	image->is_pm2 = script && proc_is_pm2_container(script);
	if (!script || (script[0] != '/' && cwd[0] != '/'))
		return;
	n = snprintf(image->script, sizeof(image->script), "%s%s%s", script[0] == '/' ? "" : cwd,
		     script[0] == '/' ? "" : "/", script);
	/* Half a path could match what the whole doesn't. */
	if (n < 0 || (size_t)n >= sizeof(image->script)) {
		image->script[0] = '\0';
		return;
	}
	proc_path_normalize(image->script);
}

void proc_image_join_args(struct proc_image *image)
{
	for (size_t i = 0; i < image->args_size; i++)
		if (image->args[i] == '\0')
			image->args[i] = ' ';
}
