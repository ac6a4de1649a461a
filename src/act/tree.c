/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "act/internal.h"
#include "base/file.h"

/* Deeper nesting is nobody's honest work; it bounds descriptors and stack. */
#define TREE_DEPTH_MAX 32

static int procs_each(int dir_fd, tree_pid_f each, void *userdata)
{
	_cleanup_fclose_ FILE *file = NULL;
	int fd, pid, r;

	fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		/* ENODEV: the group was removed while we held its directory. */
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	file = fdopen(fd, "re");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	while (fscanf(file, "%d", &pid) == 1) {
		/* 0: of a process outside of our pid namespace. */
		r = pid > 0 ? each(pid, userdata) : 0;
		if (r != 0)
			return r;
	}
	/* EOPNOTSUPP: a threaded group; its processes are listed in the group above. */
	return 0;
}

/* Calls for each nested directory; it is open meanwhile. */
static int children_each(int dir_fd, int (*each)(int child_fd, const char *name, void *userdata), void *userdata)
{
	struct dirent *entry;
	struct stat st;
	DIR *dir;
	int r;

	/* kernfs counts: 2, and one for each nested directory. Saves reading the directory on the hot path. */
	if (fstat(dir_fd, &st) == 0 && st.st_nlink == 2)
		return 0;
	r = file_open_dir(dir_fd, ".", &dir);
	if (r < 0)
		return r == -ENOENT || r == -ENODEV ? 0 : r;
	while (r == 0 && (entry = readdir(dir))) {
		_cleanup_close_ int child_fd = -EBADF;

		if (entry->d_type != DT_DIR || streq(entry->d_name, ".") || streq(entry->d_name, ".."))
			continue;
		child_fd = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child_fd >= 0)
			r = each(child_fd, entry->d_name, userdata);
	}
	closedir(dir);
	return r;
}

struct walk {
	tree_pid_f each;
	void *userdata;
	unsigned depth;
};

static int walk_child(int child_fd, const char *name _unused_, void *userdata)
{
	struct walk *walk = userdata;
	int r;

	if (walk->depth >= TREE_DEPTH_MAX)
		return -ELOOP;
	r = procs_each(child_fd, walk->each, walk->userdata);
	if (r != 0)
		return r;
	walk->depth++;
	r = children_each(child_fd, walk_child, walk);
	walk->depth--;
	return r;
}

int tree_pids(int dir_fd, tree_pid_f each, void *userdata)
{
	struct walk walk = {.each = each, .userdata = userdata};

	return walk_child(dir_fd, NULL, &walk);
}

int tree_own_pids(int dir_fd, tree_pid_f each, void *userdata)
{
	return procs_each(dir_fd, each, userdata);
}

struct prune {
	int parent_fd;
	unsigned depth;
};

static int prune_child(int child_fd, const char *name, void *userdata)
{
	const struct prune *above = userdata;
	struct prune prune = {.parent_fd = child_fd, .depth = above->depth + 1};
	int r;

	if (prune.depth >= TREE_DEPTH_MAX)
		return -ELOOP;
	r = children_each(child_fd, prune_child, &prune);
	if (r < 0)
		return r;
	return unlinkat(above->parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int tree_prune(int dir_fd)
{
	struct prune prune = {.parent_fd = dir_fd};

	return children_each(dir_fd, prune_child, &prune);
}

int tree_remove_leaf(int dir_fd, const char *name)
{
	_cleanup_close_ int parent_fd = openat(dir_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (parent_fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int tree_remove(int dir_fd, const char *name)
{
	int r = tree_prune(dir_fd);

	return r < 0 ? r : tree_remove_leaf(dir_fd, name);
}

int tree_read_flag(int dir_fd, const char *file, const char *name)
{
	char buffer[256];
	size_t length = strlen(name);
	ssize_t n;

	n = file_read(dir_fd, file, buffer, sizeof(buffer));
	if (n < 0)
		return (int)n;
	for (const char *line = buffer; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (strncmp(line, name, length) == 0 && line[length] == ' ')
			return line[length + 1] == '1';
	return -ENODATA;
}

int tree_move(int dir_fd, pid_t pid)
{
	return file_writef(dir_fd, "cgroup.procs", "%d", (int)pid);
}

int tree_freeze(int dir_fd, bool on)
{
	return file_write(dir_fd, "cgroup.freeze", on ? "1" : "0");
}
