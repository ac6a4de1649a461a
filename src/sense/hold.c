/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "sense/hold_internal.h"

/* All watches fit without govd-hold reading; memory is used only as they wait. Without CAP_NET_ADMIN it is what
 * net.core.wmem_max allows, and while they are sent it has to read. */
#define SOCKET_BUFFER_BYTES (8 * 1024 * 1024)
#define ROOM_MS 200

void hold_reap(struct hold *hold)
{
	for (size_t i = 0; i < HOLD_ENDED_MAX; i++)
		/* ECHILD: somebody else has reaped it */
		if (hold->ended[i] && waitpid(hold->ended[i], NULL, WNOHANG) != 0)
			hold->ended[i] = 0;
}

/* The kernel frees a killed fanotify owner's waiters at once; that its exit takes longer doesn't matter to anybody. */
static void hold_kill(struct hold *hold)
{
	size_t slot = 0;

	if (hold->fd >= 0)
		close(hold->fd);
	hold->fd = -EBADF;
	if (hold->pid) {
		/* Our child and not reaped, so the pid is still its own. */
		(void)kill(hold->pid, SIGKILL);
		hold_reap(hold);
		while (slot < HOLD_ENDED_MAX - 1 && hold->ended[slot])
			slot++;
		hold->ended[slot] = hold->pid;
		hold_reap(hold);
	}
	hold->pid = 0;
	hold->ping_ns = 0;
	hold->stats.marks = 0;
	hold->generation++;
}

/* Why it couldn't start is in its last message; ECONNRESET comes before that and only once. */
static void hold_hear_last_words(struct hold *hold)
{
	struct gov_hold_message in;

	for (unsigned i = 0; i < DISPATCH_MAX; i++) {
		ssize_t n = recv(hold->fd, &in, sizeof(in), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && errno == ECONNRESET)
			continue;
		if (n <= 0)
			return;
		if (gov_hold_check(&in, (size_t)n) == 0 && in.kind == GOV_HOLD_WATCHING && in.error > 0)
			hold->stats.error = in.error;
	}
}

void hold_end(struct hold *hold, const char *why)
{
	if (!hold->pid)
		return;
	hold_hear_last_words(hold);
	hold_kill(hold);
	if (!hold->is_starting)
		hold->events.ended(why, hold->events.userdata);
}

static bool hold_try_send(struct hold *hold, size_t size)
{
	return send(hold->fd, &hold->out, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static bool hold_makes_room(struct hold *hold)
{
	struct pollfd room = {.fd = hold->fd, .events = POLLOUT};

	return poll(&room, 1, ROOM_MS) == 1;
}

/* The socket stays full or is broken: it doesn't do its work. */
int hold_send(struct hold *hold, enum gov_hold_kind kind, const char *path)
{
	struct gov_hold_message *out = &hold->out;
	size_t path_size = path ? strlen(path) + 1 : 0;

	if (!hold->pid)
		return -EBADF;
	if (path_size > sizeof(out->path))
		return -ENAMETOOLONG;
	out->kind = (uint16_t)kind;
	out->version = GOV_HOLD_VERSION;
	out->path_size = (uint32_t)path_size;
	if (path_size)
		memcpy(out->path, path, path_size);
	if (hold_try_send(hold, GOV_HOLD_HEAD_SIZE + path_size))
		return 0;
	if (errno == EAGAIN && hold_makes_room(hold) && hold_try_send(hold, GOV_HOLD_HEAD_SIZE + path_size))
		return 0;
	hold_end(hold, errno == EAGAIN ? "it doesn't read" : "its socket is broken");
	return -EPIPE;
}

void hold_clear_out(struct hold *hold)
{
	memset(&hold->out, 0, GOV_HOLD_HEAD_SIZE);
}

/* The set is sent as a whole: govd-hold takes it over without a gap. */
int hold_send_all(struct hold *hold)
{
	unsigned generation = hold->generation;
	int r;

	hold_clear_out(hold);
	r = hold_send(hold, GOV_HOLD_RESET, NULL);
	for (size_t i = 0; i < GOV_HOLD_EXEMPT_MAX && r >= 0; i++) {
		hold->out.pid = hold->exempt[i];
		if (hold->out.pid)
			r = hold_send(hold, GOV_HOLD_EXEMPT, NULL);
	}
	hold_clear_out(hold);
	for (size_t i = 0; i < hold->watches.n && r >= 0; i++) {
		hold->out.is_exec = hold->watches.watches[i].is_exec;
		r = hold_send(hold, GOV_HOLD_WATCH, hold->watches.watches[i].path);
	}
	if (r >= 0)
		r = hold_send(hold, GOV_HOLD_COMMIT, NULL);
	/* `ended` may have started another one, which has been told. */
	return generation != hold->generation && hold->pid ? 0 : r;
}

static int hold_spawn(const char *program, int socket_fd, pid_t *ret_pid)
{
	char *const arguments[] = {(char *)"govd-hold", NULL}, *const environment[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all;
	int r;

	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r) {
		posix_spawn_file_actions_destroy(&actions);
		return -r;
	}
	sigfillset(&all);
	/* dup2 takes CLOEXEC away, also when it is descriptor 3 already. */
	r = posix_spawn_file_actions_adddup2(&actions, socket_fd, GOV_HOLD_FD);
	if (!r)
		r = posix_spawnattr_setsigdefault(&attributes, &all);
	if (!r)
		r = posix_spawnattr_setsigmask(&attributes, &all);
	if (!r)
		r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	if (!r)
		r = posix_spawn(ret_pid, program, &actions, &attributes, arguments, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

int hold_start(struct hold *hold)
{
	_cleanup_close_ int ours = -EBADF, theirs = -EBADF;
	const int size = SOCKET_BUFFER_BYTES;
	int pair[2], r;

	if (hold->pid)
		return 0;
	hold_reap(hold);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	for (size_t i = 0; i < ELEMENTSOF(pair); i++)
		if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
			(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r = hold_spawn(hold->program, theirs, &hold->pid);
	if (r < 0) {
		hold->pid = 0;
		return r;
	}
	hold->fd = TAKE_FD(ours);
	hold->generation++;
	hold->ping_ns = 0;
	if (hold->was_started)
		hold->stats.restarts++;
	hold->was_started = true;
	hold->is_starting = true;
	r = hold_send_all(hold);
	hold->is_starting = false;
	return r;
}

int hold_new(const char *program, const struct hold_events *events, struct hold **ret_hold)
{
	struct hold *hold = calloc(1, sizeof(*hold));

	if (!hold)
		return -ENOMEM;
	hold->fd = -EBADF;
	hold->events = *events;
	hold->program = strdup(program);
	if (!hold->program) {
		free(hold);
		return -ENOMEM;
	}
	*ret_hold = hold;
	return 0;
}

struct hold *hold_free(struct hold *hold)
{
	if (!hold)
		return NULL;
	hold_kill(hold);
	/* Bounded: it was killed; its exit waits for nothing of ours. */
	for (size_t i = 0; i < HOLD_ENDED_MAX; i++)
		if (hold->ended[i])
			(void)waitpid(hold->ended[i], NULL, 0);
	hold_watches_done(&hold->watches);
	hold_patterns_done(&hold->patterns);
	for (size_t i = 0; i < HOLD_ALSO_MAX; i++)
		free(hold->also[i]);
	free(hold->program);
	free(hold);
	return NULL;
}

void hold_stop(struct hold *hold)
{
	hold_kill(hold);
}

pid_t hold_pid(const struct hold *hold)
{
	return hold->pid;
}

int hold_fd(const struct hold *hold)
{
	return hold->fd;
}

void hold_get_stats(const struct hold *hold, struct hold_stats *ret_stats)
{
	*ret_stats = hold->stats;
	if (!ret_stats->error)
		ret_stats->error = hold->watches.error;
}
