/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "out/recorder.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "base/text.h"
#include "out/recorder_encode.h"

#define QUEUE_MAX 1024	     /* messages that wait in memory when the socket is full */
#define SEND_BYTES (1 << 20) /* of the socket: a burst of some thousand incidents */
#define BACKOFF_MIN_NS NSEC_PER_SEC
#define BACKOFF_MAX_NS (60 * NSEC_PER_SEC)
#define STABLE_NS (60 * NSEC_PER_SEC) /* a run of this length forgives earlier ones */
#define FREE_NS (2 * NSEC_PER_SEC)

struct packet {
	size_t size;
	char bytes[];
};

struct recorder {
	char program[PATH_MAX], state_dir[PATH_MAX];
	int fd;	   /* -EBADF: down */
	pid_t pid; /* 0: none, or reaped */
	uint64_t started_ns, down_ns, backoff_ns;
	uint64_t keep_s, keep_max;
	bool is_keep_due;		 /* the socket was full */
	struct packet *queue[QUEUE_MAX]; /* a ring */
	size_t first, n;
	struct recorder_stats stats; /* written, failed: of all runs */
	uint64_t run_sent, run_written, run_failed;
};

static uint64_t clock_ns(void)
{
	struct timespec t = {};

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static int recorder_spawn(struct recorder *recorder, int child_fd, pid_t *ret_pid)
{
	char *argv[] = {recorder->program, recorder->state_dir, NULL};
	char *environment[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	sigemptyset(&none);
	sigfillset(&all);
	/* With equal numbers adddup2 clears close-on-exec (glibc 2.29). */
	r = posix_spawn_file_actions_adddup2(&actions, child_fd, GOV_RECORDER_FD);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawn(ret_pid, recorder->program, &actions, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* 0, or -EAGAIN when the socket is full, or -errno when it is broken. */
static int recorder_send(struct recorder *recorder, const void *bytes, size_t size)
{
	if (recorder->fd < 0)
		return -ENOTCONN;
	/* A SOCK_SEQPACKET send is all or nothing. */
	return send(recorder->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int recorder_send_keep(struct recorder *recorder)
{
	struct gov_incident_message message = {
		.kind = GOV_INCIDENT_KEEP,
		.version = GOV_INCIDENT_VERSION,
		.size = GOV_INCIDENT_HEAD_SIZE,
		.keep_s = recorder->keep_s,
		.keep_max = recorder->keep_max,
	};

	return recorder_send(recorder, &message, GOV_INCIDENT_HEAD_SIZE);
}

static int recorder_start(struct recorder *recorder)
{
	int pair[2], bytes = SEND_BYTES, r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	/* Beyond net.core.wmem_max for root; without it the queue in memory begins earlier. */
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	r = recorder_spawn(recorder, pair[1], &recorder->pid);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		recorder->pid = 0;
		recorder->down_ns = clock_ns();
		return r;
	}
	recorder->fd = pair[0];
	recorder->started_ns = clock_ns();
	recorder->run_sent = recorder->run_written = recorder->run_failed = 0;
	recorder->is_keep_due = recorder_send_keep(recorder) < 0;
	return 0;
}

/* What was sent and is neither written nor failed is lost with it, or was written after its last report. */
static void recorder_lost(struct recorder *recorder)
{
	uint64_t now_ns = clock_ns(), known = recorder->run_written + recorder->run_failed;

	if (recorder->fd < 0)
		return;
	close(recorder->fd);
	recorder->fd = -EBADF;
	recorder->stats.dropped += recorder->run_sent > known ? recorder->run_sent - known : 0;
	recorder->run_sent = 0;
	if (now_ns - recorder->started_ns >= STABLE_NS)
		recorder->backoff_ns = BACKOFF_MIN_NS;
	recorder->down_ns = now_ns;
}

static void recorder_sent(struct recorder *recorder)
{
	recorder->stats.sent++;
	recorder->run_sent++;
}

static void recorder_flush(struct recorder *recorder)
{
	if (recorder->is_keep_due && recorder->fd >= 0)
		recorder->is_keep_due = recorder_send_keep(recorder) < 0;
	while (recorder->n) {
		struct packet *packet = recorder->queue[recorder->first];
		int r = recorder_send(recorder, packet->bytes, packet->size);

		if (r == -EAGAIN || r == -ENOTCONN || r == -ENOBUFS)
			return;
		if (r < 0) {
			recorder_lost(recorder);
			return;
		}
		recorder_sent(recorder);
		free(packet);
		recorder->first = (recorder->first + 1) % QUEUE_MAX;
		recorder->n--;
	}
}

static void recorder_queue(struct recorder *recorder, const struct gov_incident_message *message)
{
	struct packet *packet = recorder->n < QUEUE_MAX ? malloc(sizeof(*packet) + message->size) : NULL;

	if (!packet) {
		recorder->stats.dropped++;
		return;
	}
	packet->size = message->size;
	memcpy(packet->bytes, message, message->size);
	recorder->queue[(recorder->first + recorder->n) % QUEUE_MAX] = packet;
	recorder->n++;
}

int recorder_new(const char *program, const char *state_dir, struct recorder **ret_recorder)
{
	_cleanup_(recorder_freep) struct recorder *recorder = calloc(1, sizeof(*recorder));
	int r;

	if (!recorder)
		return -ENOMEM;
	recorder->fd = -EBADF;
	recorder->backoff_ns = BACKOFF_MIN_NS;
	if (!text_copy(recorder->program, sizeof(recorder->program), program) ||
	    !text_copy(recorder->state_dir, sizeof(recorder->state_dir), state_dir))
		return -ENAMETOOLONG;
	r = recorder_start(recorder);
	if (r < 0)
		return r;
	*ret_recorder = TAKE_PTR(recorder);
	return 0;
}

/* Sends what waits, ends the socket, and waits for the process: until the deadline. */
static void recorder_finish(struct recorder *recorder)
{
	uint64_t deadline_ns = clock_ns() + FREE_NS;

	while (recorder->pid > 0 && clock_ns() < deadline_ns) {
		struct pollfd fd = {.fd = recorder->fd, .events = POLLIN | (recorder->n ? POLLOUT : 0)};
		pid_t ended = waitpid(recorder->pid, NULL, WNOHANG);

		if (ended == recorder->pid || (ended < 0 && errno == ECHILD))
			return;
		recorder_flush(recorder);
		if (recorder->fd >= 0 && recorder->n == 0)
			(void)shutdown(recorder->fd, SHUT_WR);
		/* Reports are read, and the end of the socket leaves only a moment until the end of the process. */
		(void)recorder_dispatch(recorder);
		(void)poll(&fd, recorder->fd >= 0 ? 1 : 0, recorder->fd >= 0 ? 100 : 5);
	}
}

struct recorder *recorder_free(struct recorder *recorder)
{
	if (!recorder)
		return NULL;
	if (recorder->fd >= 0)
		recorder_finish(recorder);
	else if (recorder->pid > 0)
		(void)waitpid(recorder->pid, NULL, WNOHANG);
	if (recorder->fd >= 0)
		close(recorder->fd);
	while (recorder->n) {
		free(recorder->queue[recorder->first]);
		recorder->first = (recorder->first + 1) % QUEUE_MAX;
		recorder->n--;
	}
	free(recorder);
	return NULL;
}

pid_t recorder_pid(const struct recorder *recorder)
{
	return recorder->pid;
}

int recorder_fd(const struct recorder *recorder)
{
	return recorder->fd;
}

static void recorder_take_stats(struct recorder *recorder, const struct gov_incident_message *message, size_t size)
{
	if (size <= GOV_INCIDENT_HEAD_SIZE || message->version != GOV_INCIDENT_VERSION ||
	    message->kind != GOV_INCIDENT_STATS)
		return;
	recorder->stats.written += message->written - recorder->run_written;
	recorder->stats.failed += message->failed - recorder->run_failed;
	recorder->run_written = message->written;
	recorder->run_failed = message->failed;
	recorder->stats.error = message->error;
	text_copy(recorder->stats.error_text, MIN2(sizeof(recorder->stats.error_text), size - GOV_INCIDENT_HEAD_SIZE),
		  message->text);
}

int recorder_dispatch(struct recorder *recorder)
{
	struct gov_incident_message message;

	while (recorder->fd >= 0) {
		ssize_t n = recv(recorder->fd, &message, sizeof(message), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			recorder_lost(recorder);
		else
			recorder_take_stats(recorder, &message, (size_t)n);
	}
	recorder_flush(recorder);
	return 0;
}

int recorder_watch_over(struct recorder *recorder, uint64_t now_ns)
{
	int r;

	r = recorder_dispatch(recorder);
	if (r < 0 || recorder->fd >= 0)
		return r;
	/* Not two at the same database: the old one must have ended. It has no socket any more, so it will. */
	if (recorder->pid > 0) {
		pid_t ended = waitpid(recorder->pid, NULL, WNOHANG);

		if (ended == 0)
			return 0;
		recorder->pid = 0;
	}
	if (now_ns < recorder->down_ns + recorder->backoff_ns)
		return 0;
	recorder->backoff_ns = MIN2(recorder->backoff_ns * 2, BACKOFF_MAX_NS);
	recorder->stats.restarts++;
	r = recorder_start(recorder);
	recorder_flush(recorder);
	return r;
}

void recorder_set_keep(struct recorder *recorder, uint64_t keep_ns, uint64_t keep_max)
{
	recorder->keep_s = keep_ns / NSEC_PER_SEC;
	recorder->keep_max = keep_max;
	recorder->is_keep_due = recorder_send_keep(recorder) < 0;
}

void recorder_add(struct recorder *recorder, uint64_t time_ms, const struct incident *incident)
{
	struct gov_incident_message message;

	if (recorder_encode(time_ms, incident, &message) < 0) {
		recorder->stats.dropped++;
		return;
	}
	recorder_flush(recorder);
	if (recorder->n == 0 && recorder_send(recorder, &message, message.size) == 0)
		recorder_sent(recorder);
	else
		recorder_queue(recorder, &message);
}

void recorder_get_stats(const struct recorder *recorder, struct recorder_stats *ret_stats)
{
	*ret_stats = recorder->stats;
}
