/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "sense/bpf_child.h"

/* Room for the descriptors of one message. */
union child_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(BPF_FDS * sizeof(int))];
};

_Static_assert(BPF_FDS <= 64, "a bit for each");

/*
 * When govd is killed meanwhile, the next one begins at once: nothing here may pin what that one looks for, nor keep
 * govd's socket and its lock open, by which it would seem to live.
 */
static void child_detach(int socket_fd, pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	if (socket_fd > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, (unsigned)socket_fd - 1, 0);
	(void)close_range((unsigned)socket_fd + 1, UINT_MAX, 0);
}

pid_t bpf_child_start(const struct child_request *request, int *ret_socket_fd)
{
	pid_t pid, parent = getpid();
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		close(sockets[0]);
		close(sockets[1]);
		return r;
	}
	if (pid == 0) {
		child_detach(sockets[1], parent);
		request->run(sockets[1], request);
		_exit(EXIT_SUCCESS);
	}
	close(sockets[1]);
	*ret_socket_fd = sockets[0];
	return pid;
}

void bpf_child_wait(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void bpf_child_send(int socket_fd, const struct child_message *message, const int *fds)
{
	struct child_message sent = *message;
	struct iovec iov = {.iov_base = &sent, .iov_len = sizeof(sent)};
	union child_control control = {};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
	int list[BPF_FDS];
	size_t n = 0;

	sent.has_fds = 0;
	for (size_t i = 0; fds && i < BPF_FDS; i++) {
		if (fds[i] < 0)
			continue;
		sent.has_fds |= UINT64_C(1) << i;
		list[n++] = fds[i];
	}
	if (n > 0) {
		struct cmsghdr *cmsg;

		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(n * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(cmsg), list, n * sizeof(int));
	}
	/* Where this fails the parent sees the end of the socket. */
	while (sendmsg(socket_fd, &header, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

/* Takes over what came: all that the message has announced, or nothing (the limit of open files). */
static void fds_take(struct msghdr *header, uint64_t has_fds, int fds[BPF_FDS])
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);
	size_t announced = (size_t)__builtin_popcountll(has_fds), n, next = 0;
	int list[BPF_FDS];

	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return;
	n = MIN2((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int), (size_t)BPF_FDS);
	memcpy(list, CMSG_DATA(cmsg), n * sizeof(int));
	if (n != announced) {
		for (size_t i = 0; i < n; i++)
			close(list[i]);
		return;
	}
	for (size_t i = 0; i < BPF_FDS; i++)
		if (has_fds & (UINT64_C(1) << i))
			fds[i] = list[next++];
}

int bpf_child_receive(int socket_fd, struct child_message *ret_message, int fds[BPF_FDS])
{
	struct child_message message;
	struct iovec iov = {.iov_base = &message, .iov_len = sizeof(message)};
	union child_control control = {};
	struct msghdr header = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	for (size_t i = 0; i < BPF_FDS; i++)
		fds[i] = -EBADF;
	do
		n = recvmsg(socket_fd, &header, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	if ((size_t)n != sizeof(message))
		return -EBADMSG;
	fds_take(&header, message.has_fds, fds);
	*ret_message = message;
	return 1;
}
