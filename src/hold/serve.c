/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "hold/hold.h"

#define MESSAGES_MAX 256 /* of a turn */

uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NSEC_PER_SEC), .tv_nsec = (long)(ns % NSEC_PER_SEC)};
}

int serve_send(struct holder *holder, enum gov_hold_kind kind)
{
	struct gov_hold_message *out = &holder->out;
	size_t path_size = *out->path ? strlen(out->path) + 1 : 0;

	out->kind = (uint16_t)kind;
	out->version = GOV_HOLD_VERSION;
	out->path_size = (uint32_t)path_size;
	if (send(holder->socket_fd, out, GOV_HOLD_HEAD_SIZE + path_size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

static int on_reset(struct holder *holder)
{
	watch_list_done(&holder->pending);
	return 0;
}

static int on_watch(struct holder *holder)
{
	int r;

	if (!holder->in.path_size)
		return -EBADMSG;
	r = watch_list_parse(&holder->pending, holder->in.path, holder->in.is_exec);
	return r == -EEXIST || r == -E2BIG ? 0 : r;
}

static int on_commit(struct holder *holder)
{
	holder->commit_due = true;
	return 0;
}

static int on_answer(struct holder *holder)
{
	wait_answer(holder, holder->in.token, holder->in.error);
	return 0;
}

static int on_ping(struct holder *holder)
{
	holder->out = (struct gov_hold_message){.token = holder->in.token};
	/* Full: govd doesn't read, so it doesn't wait for the pong either. */
	(void)!serve_send(holder, GOV_HOLD_PONG);
	return 0;
}

static int on_exempt(struct holder *holder)
{
	holder->exempt[holder->exempt_cursor++ % GOV_HOLD_EXEMPT_MAX] = holder->in.pid;
	return 0;
}

static int (*const serve_kinds[])(struct holder *holder) = {
	[GOV_HOLD_RESET] = on_reset,   [GOV_HOLD_WATCH] = on_watch, [GOV_HOLD_COMMIT] = on_commit,
	[GOV_HOLD_ANSWER] = on_answer, [GOV_HOLD_PING] = on_ping,   [GOV_HOLD_EXEMPT] = on_exempt,
};

/* -errno also for the end of the socket and for what isn't a message: we can't trust what comes after it. */
static int serve_messages(struct holder *holder)
{
	for (unsigned i = 0; i < MESSAGES_MAX; i++) {
		ssize_t n = recv(holder->socket_fd, &holder->in, sizeof(holder->in), MSG_DONTWAIT | MSG_TRUNC);
		int r;

		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n == 0)
			return -ECONNRESET;
		if (gov_hold_check(&holder->in, (size_t)n) < 0)
			return -EBADMSG;
		if (holder->in.kind >= ELEMENTSOF(serve_kinds) || !serve_kinds[holder->in.kind])
			continue;
		r = serve_kinds[holder->in.kind](holder);
		if (r < 0)
			return r;
	}
	return 0;
}

/* From here on the kernel kills us at that time unless we come back. It may have passed: then at once. */
static int serve_push_deadman(struct holder *holder, uint64_t oldest_ns)
{
	uint64_t end_ns = holder->waiters.seen_ns + HOLDER_DEADMAN_NS;
	struct itimerspec timer;

	if (oldest_ns != UINT64_MAX)
		end_ns = MIN2(end_ns, oldest_ns + HOLDER_OVERDUE_NS);
	timer = (struct itimerspec){.it_value = timespec_of(end_ns)};
	return timer_settime(holder->deadman, TIMER_ABSTIME, &timer, NULL) < 0 ? -errno : 0;
}

int serve_turn(struct holder *holder, uint64_t max_wait_ns)
{
	struct pollfd polls[] = {
		{.fd = holder->fan_fd, .events = POLLIN},
		{.fd = holder->socket_fd, .events = POLLIN},
		{.fd = holder->plan.inotify_fd, .events = POLLIN},
	};
	uint64_t now_ns = clock_ns(), oldest_ns = wait_oldest_deadline(&holder->waiters);
	struct timespec wait;
	int r;

	r = serve_push_deadman(holder, oldest_ns);
	if (r < 0)
		return r;
	wait = timespec_of(MIN2(max_wait_ns, oldest_ns > now_ns ? oldest_ns - now_ns : 0));
	if (ppoll(polls, ELEMENTSOF(polls), &wait, NULL) < 0 && errno != EINTR)
		return -errno;
	now_ns = clock_ns();
	/* Whatever poll says: we may have been stopped since then. */
	r = wait_read(holder, now_ns);
	if (r < 0)
		return r;
	if (polls[1].revents) {
		r = serve_messages(holder);
		if (r < 0)
			return r;
	}
	if (polls[2].revents && plan_read_changes(&holder->plan))
		holder->change_due = true;
	wait_expire(holder, now_ns);
	return 0;
}

/* How long the loop may sleep: less when a plan is due later. */
static uint64_t serve_wait_ns(const struct holder *holder)
{
	uint64_t now_ns = clock_ns();

	if (!holder->change_due)
		return HOLDER_TICK_NS;
	if (now_ns >= holder->plan_not_before_ns)
		return 0;
	return MIN2(HOLDER_TICK_NS, holder->plan_not_before_ns - now_ns);
}

int serve(struct holder *holder)
{
	for (;;) {
		int r = serve_turn(holder, serve_wait_ns(holder));

		if (r >= 0 && holder->commit_due)
			r = watch_list_copy(&holder->told, &holder->pending);
		if (r < 0)
			return r;
		if (!holder->commit_due && (!holder->change_due || clock_ns() < holder->plan_not_before_ns))
			continue;
		holder->commit_due = holder->change_due = false;
		plan_make(holder);
	}
}
