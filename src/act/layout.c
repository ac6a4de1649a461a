/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/layout.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "act/libcgroup.h"
#include "base/file.h"
#include "base/text.h"

#define MOUNTINFO_MAX (1U << 20)

static const char *const controller_names[CONTROLLERS] = {
	[CONTROLLER_MEMORY] = "memory",
	[CONTROLLER_PIDS] = "pids",
	[CONTROLLER_CPU] = "cpu",
};

const char *controller_name(enum controller controller)
{
	return controller_names[controller];
}

int proc_cgroup_read(pid_t pid, char buffer[static PROC_CGROUP_SIZE])
{
	char path[32] = "/proc/self/cgroup";
	ssize_t n;

	if (pid > 0)
		snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	n = file_read(AT_FDCWD, path, buffer, PROC_CGROUP_SIZE);
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	return n == 0 ? -ESRCH : 0;
}

/* Undoes the \ooo of mountinfo, proc(5). */
static void unescape_octal(char *s)
{
	char *to = s;

	for (; *s; s++)
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	*to = '\0';
}

/*
 * The line of /proc/self/mountinfo of the first mount of this type, at this place if one is given.
 * `36 35 98:0 ROOT MOUNT rw,noatime master:1 - TYPE SOURCE rw,errors=continue`
 */
static int mountinfo_find(const char *type, const char *place, struct hierarchy *ret_hierarchy)
{
	_cleanup_free_ char *table = NULL;
	char *next = NULL;
	int r;

	r = file_read_all(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &table, NULL);
	if (r < 0)
		return r;
	for (char *line = strtok_r(table, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		char root[PATH_MAX], mount[PATH_MAX], is_type[32];
		const char *dash = strstr(line, " - ");

		if (!dash || sscanf(dash, " - %31s", is_type) != 1 || !streq(is_type, type) ||
		    sscanf(line, "%*s %*s %*s %4095s %4095s", root, mount) != 2)
			continue;
		unescape_octal(root);
		unescape_octal(mount);
		if (place && !streq(place, mount))
			continue;
		text_copy(ret_hierarchy->mount, sizeof(ret_hierarchy->mount), mount);
		text_copy(ret_hierarchy->root, sizeof(ret_hierarchy->root), streq(root, "/") ? "" : root);
		return 0;
	}
	return -ENOENT;
}

/* Finds `N:NAMES:PATH` where NAMES (comma-separated) has name; v2 is `0::PATH`. */
static const char *proc_cgroup_line(const char *proc_cgroup, const char *name, size_t *ret_names, size_t *ret_length)
{
	for (const char *line = proc_cgroup; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *names = strchr(line, ':'), *path;
		size_t length = strlen(name);

		names = names ? names + 1 : NULL;
		path = names ? strchr(names, ':') : NULL;
		if (!path)
			return NULL;
		for (const char *p = names; p <= path; p += strcspn(p, ",:"), p++) {
			if (strncmp(p, name, length) != 0 || (p[length] != ',' && p[length] != ':'))
				continue;
			*ret_names = (size_t)(path - names);
			*ret_length = strcspn(path + 1, "\n");
			return path + 1;
		}
	}
	return NULL;
}

int layout_path_of(const struct hierarchy *hierarchy, const char *proc_cgroup, char *ret_path, size_t size)
{
	char first[HIERARCHY_NAME_MAX];
	size_t names, length, root = strlen(hierarchy->root);
	const char *path;

	text_copy(first, sizeof(first), hierarchy->name);
	first[strcspn(first, ",")] = '\0';
	path = proc_cgroup_line(proc_cgroup, first, &names, &length);
	/* `/../x` is outside of our cgroup namespace. */
	if (!path || length < root || strncmp(path, hierarchy->root, root) != 0 || strncmp(path, "/..", 3) == 0)
		return -ENOENT;
	path += root;
	length -= root;
	if (length > 0 && path[0] != '/')
		return -ENOENT;
	if (length == 1)
		length = 0;
	if (length >= size)
		return -ENAMETOOLONG;
	memcpy(ret_path, path, length);
	ret_path[length] = '\0';
	return 0;
}

/* Adds a controller to the hierarchy that it is mounted in; several may share one. */
static int layout_add_v1(struct layout *layout, enum controller controller, const char *mount, const char *proc_cgroup)
{
	struct hierarchy *hierarchy;
	size_t names, length;
	const char *path;

	for (size_t i = 0; i < layout->n_v1; i++)
		if (streq(layout->v1[i].mount, mount)) {
			layout->v1[i].controllers |= 1U << controller;
			layout->where[controller] = (int)i;
			return 0;
		}
	hierarchy = &layout->v1[layout->n_v1];
	path = proc_cgroup_line(proc_cgroup, controller_names[controller], &names, &length);
	if (!path || names >= sizeof(hierarchy->name))
		return -ENOENT;
	memcpy(hierarchy->name, path - 1 - names, names);
	hierarchy->name[names] = '\0';
	if (mountinfo_find("cgroup", mount, hierarchy) < 0 ||
	    layout_path_of(hierarchy, proc_cgroup, hierarchy->own, sizeof(hierarchy->own)) < 0)
		return -ENOENT;
	hierarchy->controllers = 1U << controller;
	layout->where[controller] = (int)layout->n_v1++;
	return 0;
}

static int layout_find_v2(struct layout *layout, const char *proc_cgroup, char *error, size_t error_size)
{
	int r;

	r = mountinfo_find("cgroup2", NULL, &layout->v2);
	if (r < 0) {
		snprintf(error, error_size,
			 "no cgroup v2 tree is mounted; where v1 is in use, do: mkdir -p /sys/fs/cgroup/unified && "
			 "mount -t cgroup2 none /sys/fs/cgroup/unified");
		return -ENODEV;
	}
	r = layout_path_of(&layout->v2, proc_cgroup, layout->v2.own, sizeof(layout->v2.own));
	if (r < 0)
		snprintf(error, error_size, "govd's own cgroup isn't below the v2 mount %s", layout->v2.mount);
	return r;
}

int layout_discover(struct layout *ret_layout, char *error, size_t error_size)
{
	_cleanup_free_ struct layout *layout = calloc(1, sizeof(*layout));
	char proc_cgroup[PROC_CGROUP_SIZE];
	bool has_library;
	int r;

	if (!layout)
		return -ENOMEM;
	r = proc_cgroup_read(0, proc_cgroup);
	if (r < 0) {
		snprintf(error, error_size, "/proc/self/cgroup: %s", strerror(-r));
		return r;
	}
	r = layout_find_v2(layout, proc_cgroup, error, error_size);
	if (r < 0)
		return r;
	has_library = libcgroup_open() == 0;
	for (unsigned i = 0; i < CONTROLLERS; i++) {
		char mount[PATH_MAX];
		struct statfs fs;

		layout->where[i] = WHERE_NONE;
		if (!has_library || libcgroup_mount_point(controller_names[i], mount, sizeof(mount)) < 0 ||
		    statfs(mount, &fs) < 0)
			continue;
		if (fs.f_type == CGROUP2_SUPER_MAGIC) {
			layout->where[i] = WHERE_V2;
			layout->v2.controllers |= 1U << i;
		} else if (layout_add_v1(layout, i, mount, proc_cgroup) < 0) {
			layout->where[i] = WHERE_NONE;
		}
	}
	*ret_layout = *layout;
	return 0;
}

void layout_describe(const struct layout *layout, char *buffer, size_t size)
{
	struct text text = {.bytes = buffer, .size = size};

	text_addf(&text, "%s: v2 at %s", layout->n_v1 ? "hybrid" : "v2", layout->v2.mount);
	for (unsigned i = 0; i < CONTROLLERS; i++)
		if (layout->where[i] == WHERE_NONE)
			text_addf(&text, ", %s missing", controller_names[i]);
		else if (layout->where[i] == WHERE_V2)
			text_addf(&text, ", %s v2", controller_names[i]);
		else
			text_addf(&text, ", %s v1 at %s", controller_names[i], layout->v1[layout->where[i]].mount);
}

bool layout_is_systemds(const struct layout *layout, char *words, size_t size)
{
	struct stat st;

	/* As sd_booted(3). */
	if (lstat("/run/systemd/system", &st) < 0 || !S_ISDIR(st.st_mode))
		snprintf(words, size, "systemd isn't PID 1");
	else if (layout->n_v1 || !layout->v2.controllers || layout->v2.root[0])
		snprintf(words, size,
			 "systemd's tree isn't pure cgroup v2 (systemd.unified_cgroup_hierarchy=1 on the kernel's "
			 "command line)");
	else {
		snprintf(words, size, "systemd is PID 1 and its tree is pure cgroup v2");
		return true;
	}
	return false;
}
