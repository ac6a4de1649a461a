/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "act/internal.h"
#include "base/file.h"

/*
 * memory.reclaim: the write returns when the kernel has reclaimed as much or has given up, which takes as long as it
 * takes to write dirty pages. O_NONBLOCK changes nothing. So a child does it, a few at a time.
 */

#define CHILD_NICE 10

void chores_init(struct groups *groups)
{
	for (size_t i = 0; i < CHORES_MAX; i++)
		groups->chores[i].pid_fd = -EBADF;
}

/* -EBUSY: it is at it, or too many others are. */
static int chore_find(struct groups *groups, uint64_t agent, struct chore **ret_chore)
{
	struct chore *free = NULL;

	for (size_t i = 0; i < CHORES_MAX; i++) {
		struct chore *chore = &groups->chores[i];

		if (chore->pid_fd < 0)
			free = chore;
		else if (chore->agent == agent)
			return -EBUSY;
	}
	if (!free)
		return -EBUSY;
	*ret_chore = free;
	return 0;
}

/*
 * Only calls that are safe in a copy of a process: signal-safety(7). Nobody may take it for govd: by the sockets that
 * it has copies of, others would see govd live on.
 */
_Noreturn static void child(int fd, const char *text, size_t length)
{
	if (fd > 0)
		(void)close_range(0, (unsigned)fd - 1, 0);
	(void)close_range((unsigned)fd + 1, ~0U, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpriority(PRIO_PROCESS, 0, CHILD_NICE);
	_exit(write(fd, text, length) < 0 ? 1 : 0);
}

static int chore_begin(struct groups *groups, struct chore *chore, int fd)
{
	char text[32];
	int length, r;
	pid_t pid;

	length = snprintf(text, sizeof(text), "%llu", (unsigned long long)chore->bytes);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(fd, text, (size_t)length);
	chore->pid_fd = pidfd_open(pid, 0);
	r = chore->pid_fd < 0 ? -errno : watch_fd(groups, chore->pid_fd);
	if (r < 0) {
		/* Nobody would hear of its end: here it is waited for. */
		(void)waitpid(pid, NULL, 0);
		close_p(&chore->pid_fd);
	}
	return r;
}

int group_reclaim(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);
	_cleanup_close_ int fd = -EBADF;
	struct chore *chore;
	int r;

	if (!group || group->v2_fd < 0)
		return -ESRCH;
	r = chore_find(groups, action->agent->handle, &chore);
	if (r < 0)
		return r == -EBUSY ? 0 : r;
	fd = openat(group->v2_fd, "memory.reclaim", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	chore->agent = action->agent->handle;
	chore->bytes = action->bytes;
	return chore_begin(groups, chore, fd);
}

static void chore_end(struct groups *groups, struct chore *chore, bool is_done)
{
	struct event event = {.kind = EVENT_RESULT};

	close_p(&chore->pid_fd);
	event.result.action = ACTION_RECLAIM;
	event.result.agent = chore->agent;
	/* EAGAIN: less than that, who knows how much. */
	event.result.error = is_done ? 0 : EAGAIN;
	event.result.bytes = is_done ? chore->bytes : 0;
	groups_tell_event(groups, &event);
}

void chores_dispatch(struct groups *groups)
{
	for (size_t i = 0; i < CHORES_MAX; i++) {
		struct chore *chore = &groups->chores[i];
		siginfo_t info = {0};

		if (chore->pid_fd < 0 || waitid(P_PIDFD, (id_t)chore->pid_fd, &info, WEXITED | WNOHANG) < 0 ||
		    info.si_pid == 0)
			continue;
		chore_end(groups, chore, info.si_code == CLD_EXITED && info.si_status == 0);
	}
}

/* What is under way goes on: it ends by itself. */
void chores_end(struct groups *groups)
{
	for (size_t i = 0; i < CHORES_MAX; i++)
		close_p(&groups->chores[i].pid_fd);
}
