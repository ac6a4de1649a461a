/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/socket.h>

#include "sense/hold_internal.h"

static void on_watching(struct hold *hold)
{
	hold->stats.marks = hold->in.count;
	hold->stats.error = hold->in.error > 0 ? hold->in.error : 0;
}

static void on_ask(struct hold *hold)
{
	hold->stats.asked++;
	hold->events.ask(hold->in.token, hold->in.pid, hold->in.is_exec, hold->in.path, hold->events.userdata);
}

static void on_expired(struct hold *hold)
{
	hold->stats.expired++;
	hold->events.expired(hold->in.token, hold->events.userdata);
}

static void on_pong(struct hold *hold)
{
	hold->ping_ns = 0;
}

static void (*const dispatch_kinds[])(struct hold *hold) = {
	[GOV_HOLD_WATCHING] = on_watching,
	[GOV_HOLD_ASK] = on_ask,
	[GOV_HOLD_EXPIRED] = on_expired,
	[GOV_HOLD_PONG] = on_pong,
};

/* A whole message of a kind that govd-hold sends. */
static bool dispatch_is_valid(const struct gov_hold_message *in, size_t size)
{
	if (gov_hold_check(in, size) < 0 || in->kind >= ELEMENTSOF(dispatch_kinds) || !dispatch_kinds[in->kind])
		return false;
	return in->kind != GOV_HOLD_ASK || (in->pid > 1 && in->path_size > 1);
}

/* 1: a message was handled; 0: there is none, or it has ended. */
static int dispatch_one(struct hold *hold)
{
	ssize_t n = recv(hold->fd, &hold->in, sizeof(hold->in), MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0) {
		hold_end(hold, "it has died");
		return 0;
	}
	if (!dispatch_is_valid(&hold->in, (size_t)n)) {
		hold_end(hold, "it sent garbage");
		return 0;
	}
	dispatch_kinds[hold->in.kind](hold);
	return 1;
}

int hold_dispatch(struct hold *hold)
{
	unsigned generation = hold->generation;

	if (!hold->pid)
		return -EBADF;
	/* A callback may end it and start another one. */
	for (unsigned i = 0; i < DISPATCH_MAX && hold->generation == generation; i++)
		if (dispatch_one(hold) == 0)
			break;
	return 0;
}

int hold_watch_over(struct hold *hold, uint64_t now_ns)
{
	unsigned generation = hold->generation;
	int r;

	hold_reap(hold);
	if (!hold->pid)
		return -EBADF;
	/* The pong may have come while govd itself was stopped: look before judging. */
	if (hold->ping_ns && now_ns - hold->ping_ns > GOV_HOLD_PONG_MS * NSEC_PER_MSEC) {
		r = hold_dispatch(hold);
		if (r < 0 || hold->generation != generation)
			return r;
		if (hold->ping_ns) {
			hold_end(hold, "it didn't answer a ping");
			return 0;
		}
	}
	/* However often we are called; half a period, for the jitter of the caller's timer. */
	if (hold->ping_ns || now_ns - hold->pinged_ns < GOV_HOLD_PING_MS * NSEC_PER_MSEC / 2)
		return 0;
	hold->pinged_ns = hold->ping_ns = MAX2(now_ns, (uint64_t)1);
	hold_clear_out(hold);
	r = hold_send(hold, GOV_HOLD_PING, NULL);
	return r == -EPIPE ? 0 : r;
}

void hold_answer(struct hold *hold, uint64_t token, int error)
{
	hold_clear_out(hold);
	hold->out.token = token;
	hold->out.error = error;
	/* If it can't be told then it is ended, which lets go too. */
	(void)!hold_send(hold, GOV_HOLD_ANSWER, NULL);
}

void hold_exempt(struct hold *hold, pid_t pid)
{
	hold->exempt[hold->n_exempt++ % GOV_HOLD_EXEMPT_MAX] = pid;
	hold_clear_out(hold);
	hold->out.pid = pid;
	(void)!hold_send(hold, GOV_HOLD_EXEMPT, NULL);
}

static int add_all_found(const struct hold *hold, struct hold_watches *watches, const struct hold_patterns *patterns)
{
	for (size_t i = 0; i < HOLD_ALSO_MAX && hold->also[i]; i++) {
		int r = hold_watches_add_found(watches, patterns, hold->also[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

int hold_set_policies(struct hold *hold, const struct policy_set *set)
{
	struct hold_watches watches = {0};
	struct hold_patterns patterns = {0};
	int r;

	r = hold_watches_from_set(&watches, &patterns, set);
	if (r >= 0)
		r = add_all_found(hold, &watches, &patterns);
	if (r < 0) {
		hold_watches_done(&watches);
		hold_patterns_done(&patterns);
		return r;
	}
	hold_watches_done(&hold->watches);
	hold_patterns_done(&hold->patterns);
	hold->watches = watches;
	hold->patterns = patterns;
	return hold->pid ? hold_send_all(hold) : 0;
}

static int also_remember(struct hold *hold, const char *path)
{
	char **slot = &hold->also[hold->n_also % HOLD_ALSO_MAX];
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	free(*slot);
	*slot = copy;
	hold->n_also++;
	return 0;
}

int hold_watch_also(struct hold *hold, const char *path)
{
	unsigned generation = hold->generation;
	size_t before = hold->watches.n;
	int r;

	r = hold_watches_add_found(&hold->watches, &hold->patterns, path);
	if (r <= 0)
		return r;
	r = also_remember(hold, path);
	if (r < 0 || !hold->pid)
		return r;
	/* Without a RESET they come on top of what govd-hold has. */
	hold_clear_out(hold);
	for (size_t i = before; i < hold->watches.n && r >= 0; i++) {
		hold->out.is_exec = hold->watches.watches[i].is_exec;
		r = hold_send(hold, GOV_HOLD_WATCH, hold->watches.watches[i].path);
	}
	if (r >= 0)
		r = hold_send(hold, GOV_HOLD_COMMIT, NULL);
	/* `ended` may have started another one, which has been told. */
	return generation != hold->generation && hold->pid ? 0 : r;
}
