/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "act/internal.h"
#include "base/file.h"

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

/* A directory to be visited, and whether it has been: then what is nested in it is done, too. */
struct place {
	struct place *next;
	unsigned depth; /* of its parent */
	bool is_entered;
	char name[];
};

/*
 * Root may nest groups until the kernel has no memory: deeper than there are descriptors, and than a path can tell. So
 * only one directory is open at a time, with the one that is entered, and the way back is "..".
 */
struct walk {
	tree_pid_f each; /* NULL: removes the directories, innermost first */
	void *userdata;
	struct place *places; /* a stack */
	int fd;
	unsigned depth; /* below where it began */
};

static int walk_push(struct walk *walk, unsigned depth, const char *name)
{
	size_t size = strlen(name) + 1;
	struct place *place = malloc(sizeof(*place) + size);

	if (!place)
		return -ENOMEM;
	*place = (struct place){.next = walk->places, .depth = depth};
	memcpy(place->name, name, size);
	walk->places = place;
	return 0;
}

static void walk_pop(struct walk *walk)
{
	struct place *place = walk->places;

	walk->places = place->next;
	free(place);
}

/* What is nested in the directory, which is that deep. */
static int walk_push_nested(struct walk *walk, int dir_fd, unsigned depth)
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
	while (r == 0 && (entry = readdir(dir)))
		if (entry->d_type == DT_DIR && !streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
			r = walk_push(walk, depth, entry->d_name);
	closedir(dir);
	return r;
}

static int walk_go(struct walk *walk, int fd, unsigned depth)
{
	if (fd < 0)
		return -errno;
	close_p(&walk->fd);
	walk->fd = fd;
	walk->depth = depth;
	return 0;
}

static int walk_enter(struct walk *walk, const struct place *place)
{
	_cleanup_close_ int fd = openat(walk->fd, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0)
		return 0;
	r = walk->each ? procs_each(fd, walk->each, walk->userdata) : 0;
	if (r == 0)
		r = walk_push_nested(walk, fd, place->depth + 1);
	return r == 0 && walk->places != place ? walk_go(walk, TAKE_FD(fd), place->depth + 1) : r;
}

static int walk_leave(const struct walk *walk, const struct place *place)
{
	if (walk->each || unlinkat(walk->fd, place->name, AT_REMOVEDIR) == 0)
		return 0;
	return errno == ENOENT ? 0 : -errno;
}

/* All that is nested in the directory, until something returns not 0, which it returns. */
static int walk_nested(struct walk *walk, int dir_fd)
{
	int r = walk_push_nested(walk, dir_fd, 0);

	walk->fd = -EBADF;
	if (r == 0 && walk->places)
		r = walk_go(walk, fcntl(dir_fd, F_DUPFD_CLOEXEC, 0), 0);
	while (r == 0 && walk->places) {
		struct place *place = walk->places;

		if (walk->depth > place->depth) {
			r = walk_go(walk, openat(walk->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), walk->depth - 1);
		} else if (!place->is_entered) {
			place->is_entered = true;
			r = walk_enter(walk, place);
		} else {
			r = walk_leave(walk, place);
			walk_pop(walk);
		}
	}
	while (walk->places)
		walk_pop(walk);
	close_p(&walk->fd);
	return r;
}

int tree_pids(int dir_fd, tree_pid_f each, void *userdata)
{
	struct walk walk = {.each = each, .userdata = userdata};
	int r = procs_each(dir_fd, each, userdata);

	return r == 0 ? walk_nested(&walk, dir_fd) : r;
}

int tree_own_pids(int dir_fd, tree_pid_f each, void *userdata)
{
	return procs_each(dir_fd, each, userdata);
}

int tree_prune(int dir_fd)
{
	struct walk walk = {0};

	return walk_nested(&walk, dir_fd);
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
