/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/socket.h>

#include "base/file.h"
#include "hold/hold.h"

/* Started by govd with its socket as descriptor 3; see gov/hold.h. Exit: 0 never, 1 ended, 2 not started by govd. */

static struct holder holder = {
	.socket_fd = GOV_HOLD_FD,
	.fan_fd = -EBADF,
	.plan = {.inotify_fd = -EBADF, .fan_fd = -EBADF},
};

static int find_govd(pid_t *ret_pid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int type;

	if (getsockopt(GOV_HOLD_FD, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	size = sizeof(type);
	if (getsockopt(GOV_HOLD_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return -errno;
	if (type != SOCK_SEQPACKET || peer.pid <= 1)
		return -EPROTOTYPE;
	*ret_pid = peer.pid;
	return 0;
}

static void find_home(char *home, size_t size)
{
	size_t length;

	if (file_own_directory(home, size - 1) < 0) {
		home[0] = '\0';
		return;
	}
	length = strlen(home);
	home[length] = '/';
	home[length + 1] = '\0';
}

static int start(void)
{
	struct sigevent kill_us = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	const unsigned flags =
		FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS;
	int r;

	r = isolate(holder.govd_pid);
	if (r < 0)
		return r;
	find_home(holder.home, sizeof(holder.home));
	if (timer_create(CLOCK_MONOTONIC, &kill_us, &holder.deadman) < 0)
		return -errno;
	/* O_NONBLOCK: the kernel opens the file for us, and it may be a FIFO. */
	holder.fan_fd = fanotify_init(flags, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOATIME);
	if (holder.fan_fd < 0)
		return -errno;
	wait_init(&holder.waiters, clock_ns());
	return 0;
}

int main(void)
{
	int r;

	if (find_govd(&holder.govd_pid) < 0)
		return 2;
	r = start();
	if (r < 0) {
		/* The socket stays readable for govd after our end. */
		holder.out = (struct gov_hold_message){.error = -r};
		(void)!serve_send(&holder, GOV_HOLD_WATCHING);
		return 1;
	}
	r = serve(&holder);
	return r < 0 ? 1 : 0;
}
