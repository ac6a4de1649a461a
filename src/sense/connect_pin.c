/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>

#include <bpf/bpf.h>

#include "base/text.h"
#include "sense/bpf_private.h"
#include "sense/connect_pin.h"

const struct bpf_pinned_map bpf_pinned_maps[BPF_PINNED_MAPS] = {
	{"gov_connect_agents", BPF_FD_AGENTS},	 {"gov_connect_stats", BPF_FD_STATS},
	{"gov_connect_entries", BPF_FD_ENTRIES}, {"gov_connect_socks", BPF_FD_SOCKS},
	{"gov_connect_flows", BPF_FD_FLOWS},	 {"gov_connect_seats", BPF_FD_SEATS},
};

int bpf_pin_path(char *path, const char *dir, const char *name)
{
	int n = snprintf(path, BPF_PIN_PATH_MAX, "%s/%s", dir, name);

	return n < 0 || n >= BPF_PIN_PATH_MAX ? -ENAMETOOLONG : 0;
}

/* A bpffs knows no names with dots. */
static int staged_path(char *path, const char *dir, const char *name)
{
	char staged[64];

	snprintf(staged, sizeof(staged), "%s_new", name);
	return bpf_pin_path(path, dir, staged);
}

/* What the infos of maps and links begin with. */
struct object_id {
	uint32_t type, id;
};

static bool is_same_object(int a, int b)
{
	struct object_id x = {}, y = {};
	uint32_t size_x = sizeof(x), size_y = sizeof(y);

	if (bpf_obj_get_info_by_fd(a, &x, &size_x) < 0 || bpf_obj_get_info_by_fd(b, &y, &size_y) < 0)
		return false;
	return x.type == y.type && x.id == y.id;
}

int bpf_pin_stage(const char *dir, const char *name, int fd)
{
	char path[BPF_PIN_PATH_MAX], staged[BPF_PIN_PATH_MAX];
	_cleanup_close_ int there = -EBADF;
	int r = bpf_pin_path(path, dir, name);

	if (r == 0)
		r = staged_path(staged, dir, name);
	if (r < 0)
		return r;
	/* Left by one that has died here. */
	if (unlink(staged) < 0 && errno != ENOENT)
		return -errno;
	there = bpf_obj_get(path);
	if (there >= 0 && is_same_object(there, fd))
		return 0;
	return bpf_obj_pin(fd, staged);
}

int bpf_pin_commit(const char *dir, const char *name)
{
	char path[BPF_PIN_PATH_MAX], staged[BPF_PIN_PATH_MAX];
	int r = bpf_pin_path(path, dir, name);

	if (r == 0)
		r = staged_path(staged, dir, name);
	if (r < 0)
		return r;
	return rename(staged, path) < 0 && errno != ENOENT ? -errno : 0;
}

int bpf_pin_abandon(const char *dir, const char *name)
{
	char staged[BPF_PIN_PATH_MAX];
	int r = staged_path(staged, dir, name);

	if (r < 0)
		return r;
	return unlink(staged) < 0 && errno != ENOENT ? -errno : 0;
}

/* ---- directories ------------------------------------------------------------------------------------------------- */

static void closedir_p(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

/* A link without a pin would go later: the kernel frees it by a work queue. Of maps it fails. */
static void detach_pinned(const char *dir, const char *name)
{
	char path[BPF_PIN_PATH_MAX];
	int fd;

	if (bpf_pin_path(path, dir, name) < 0)
		return;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	(void)bpf_link_detach(fd);
	close(fd);
}

/* Pins only: no directories below. 0 also when it isn't there. */
static int remove_directory(const char *path)
{
	_cleanup_(closedir_p) DIR *directory = opendir(path);
	struct dirent *entry;

	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(directory))) {
		if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
			continue;
		detach_pinned(path, entry->d_name);
		if (unlinkat(dirfd(directory), entry->d_name, 0) < 0 && errno != ENOENT)
			return -errno;
	}
	return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

static bool is_version(const char *name)
{
	return name[0] == 'v' && name[1] && strspn(name + 1, "0123456789") == strlen(name + 1);
}

int bpf_pin_remove_others(const char *dir)
{
	_cleanup_(closedir_p) DIR *directory = NULL;
	char parent[BPF_PIN_PATH_MAX], path[BPF_PIN_PATH_MAX];
	const char *base = text_basename(dir);
	struct dirent *entry;
	int first = 0;

	if (!is_version(base) || (size_t)(base - dir) >= sizeof(parent))
		return 0;
	text_copy(parent, (size_t)(base - dir) + 1, dir);
	directory = opendir(parent[0] ? parent : ".");
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(directory))) {
		int r;

		if (!is_version(entry->d_name) || streq(entry->d_name, base))
			continue;
		r = bpf_pin_path(path, parent[0] ? parent : ".", entry->d_name);
		if (r == 0)
			r = remove_directory(path);
		first = first ? first : r;
	}
	return first;
}

int bpf_pin_remove_all(const char *dir)
{
	int first = remove_directory(dir);
	int r = bpf_pin_remove_others(dir);

	return first ? first : r;
}
