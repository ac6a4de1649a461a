/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "out/bus_internal.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5, include/uapi/asm-generic/socket.h */
#endif

/* Field 22 of /proc/PID/stat, proc_pid_stat(5); 0: unknown. The name in field 2 may hold anything but ends at the last
 * ). */
static uint64_t stat_start_ticks(pid_t pid)
{
	char path[64], line[1024], *rest;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(AT_FDCWD, path, line, sizeof(line)) < 0)
		return 0;
	rest = strrchr(line, ')');
	for (unsigned field = 2; rest && field < 22; field++)
		rest = strchr(rest + 1, ' ');
	return rest ? strtoull(rest + 1, NULL, 10) : 0;
}

/* The process that connected may have ended since, and its number be another's: the kernel's pidfd tells, where it has
 * it. */
static uint64_t peer_start_ticks(int fd, pid_t pid)
{
	_cleanup_close_ int pidfd = -EBADF;
	socklen_t size = sizeof(pidfd);
	uint64_t ticks;

	if (pid <= 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0)
		pidfd = -errno;
	if (pidfd < 0 && pidfd != -ENOPROTOOPT)
		return 0;
	ticks = stat_start_ticks(pid);
	if (pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0)
		return 0;
	return ticks;
}

/* Primary, then supplementary. */
static int peer_groups(int fd, gid_t primary, gid_t **ret_groups, size_t *ret_n)
{
	_cleanup_free_ gid_t *groups = NULL;
	socklen_t size = 0;

	/* Asks for the size first. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 && errno != ERANGE)
		return -errno;
	groups = malloc(sizeof(gid_t) + size);
	if (!groups)
		return -ENOMEM;
	groups[0] = primary;
	if (size && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups + 1, &size) < 0)
		return -errno;
	*ret_groups = TAKE_PTR(groups);
	*ret_n = 1 + size / sizeof(gid_t);
	return 0;
}

void bus_peer_rate(struct bus_peer *peer, gid_t reading_group)
{
	peer->is_root = peer->may_read = peer->uid == 0;
	for (size_t i = 0; i < peer->n_groups; i++)
		if (reading_group != (gid_t)-1 && peer->groups[i] == reading_group)
			peer->may_read = true;
}

/* The owner of /proc/PID is root for some: its line Uid, proc_pid_status(5). All of them: who is another's for a while,
 * such as a server of root's, isn't this user's. */
static bool is_of_user(pid_t pid, uid_t uid)
{
	char path[64], status[4096], *line;
	unsigned real, effective, saved;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (file_read(AT_FDCWD, path, status, sizeof(status)) < 0)
		return false;
	line = strstr(status, "\nUid:");
	return line && sscanf(line, "\nUid: %u %u %u", &real, &effective, &saved) == 3 && real == uid &&
	       effective == uid && saved == uid;
}

uint64_t bus_peer_start_ticks(pid_t pid, uid_t uid)
{
	uint64_t ticks = pid > 0 ? stat_start_ticks(pid) : 0;

	/* Looked at in this order, both are of one process, or the ticks are of one that has ended. */
	return ticks && is_of_user(pid, uid) ? ticks : 0;
}

int bus_peer_read(int fd, gid_t reading_group, struct bus_peer *ret_peer, gid_t **ret_groups)
{
	_cleanup_free_ gid_t *groups = NULL;
	struct bus_peer peer = {};
	struct ucred ucred;
	socklen_t size = sizeof(ucred);
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &size) < 0)
		return -errno;
	r = peer_groups(fd, ucred.gid, &groups, &peer.n_groups);
	if (r < 0)
		return r;
	peer.pid = ucred.pid;
	peer.uid = ucred.uid;
	peer.groups = groups;
	peer.start_ticks = peer_start_ticks(fd, ucred.pid);
	bus_peer_rate(&peer, reading_group);
	*ret_peer = peer;
	*ret_groups = TAKE_PTR(groups);
	return 0;
}
