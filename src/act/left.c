/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <string.h>

#include "act/internal.h"
#include "base/file.h"
#include "base/text.h"

/* Who is left in a group that was killed. */

#define LEFT_LOOKS_MAX 256 /* of the processes that are counted, so many are looked at */

struct look {
	struct left_view view;
	struct text first;
	bool wants_stuck; /* this pass writes the uninterruptible ones, the other one the others */
	size_t looks;
};

/* One line of /proc/PID/NAME; "": none. */
static void read_line(pid_t pid, const char *name, char *line, size_t size)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	if (file_read(AT_FDCWD, path, line, size) < 0)
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
}

static void add_first(struct look *look, pid_t pid, char state)
{
	char comm[64], wchan[64];

	/* Rather none than half of one. */
	if (look->first.size - look->first.length < 64)
		return;
	read_line(pid, "comm", comm, sizeof(comm));
	/* A name is its process's own choice: none may look like two. */
	for (char *c = comm; *c; c++)
		if (*c == ' ' || *c == ',')
			*c = '_';
	read_line(pid, "wchan", wchan, sizeof(wchan));
	if (str_empty(wchan) || streq(wchan, "0"))
		text_addf(&look->first, "%s%d %.16s %c", look->first.length ? ", " : "", (int)pid, comm, state);
	else
		text_addf(&look->first, "%s%d %.16s %c %.24s", look->first.length ? ", " : "", (int)pid, comm, state,
			  wchan);
}

static int look_at(pid_t pid, void *userdata)
{
	struct look *look = userdata;
	struct process_stat stat;
	bool is_stuck;

	if (look->looks++ >= LEFT_LOOKS_MAX || process_read_stat(pid, &stat) < 0)
		return 0;
	is_stuck = stat.state == 'D';
	if (is_stuck == look->wants_stuck)
		add_first(look, pid, stat.state);
	if (!look->wants_stuck)
		return 0;
	look->view.uninterruptible += is_stuck;
	look->view.zombies += stat.state == 'Z';
	return 0;
}

void group_look_left(int dir_fd, struct left_view *ret_left)
{
	struct look look = {.wants_stuck = true};

	look.first = TEXT_ON(look.view.first);
	if (tree_pids(dir_fd, look_at, &look) < 0)
		return;
	look.view.processes = look.looks;
	look.looks = 0;
	look.wants_stuck = false;
	(void)tree_pids(dir_fd, look_at, &look);
	*ret_left = look.view;
}
