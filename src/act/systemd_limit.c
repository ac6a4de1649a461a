/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/systemd.h"
#include "base/text.h"

/* Limits of a scope: systemd's to set, but for memory.oom.group, which it has no property for before 253. */

#define LIMIT_RETRY_NS (5 * NSEC_PER_SEC)
/*
 * Calls of a kind that are under way at once. systemd does one after the other, and what held processes wait for comes
 * after those; and the bus has but 128 that aren't answered of one connection (max_replies_per_connection,
 * bus/config-parser.c of dbus).
 */
#define CALLS_MAX 16

static void begin(struct groups *groups, const struct request_kind *kind, uint64_t agent, const char *unit,
		  const struct policy_limits *limits)
{
	struct request *request = request_new(groups, kind, agent);

	if (!request) {
		groups->counts.failed++;
		return;
	}
	text_copy(request->unit, sizeof(request->unit), unit);
	request->limits = *limits;
	request_begin(groups, request);
}

/*
 * Whether it is left as it is for now. Its own call ends by itself: by an answer, by the want of one (CALL_TIMEOUT_US),
 * or with the connection (requests_restart()). Another copy would only make systemd later still.
 */
static bool call_waits(struct groups *groups, struct request *request)
{
	unsigned n = 0;

	for (const struct request *other = groups->systemd->requests; other && n < CALLS_MAX; other = other->next)
		n += !other->is_done && other->kind == request->kind && other->slot;
	if (!request->slot && n < CALLS_MAX)
		return false;
	request_again(request, NSEC_PER_SEC);
	return true;
}

/* One of them has been answered: the next that hasn't been sent is. */
static void call_next(struct groups *groups, const struct request_kind *kind)
{
	uint64_t now = watch_now_ns();

	for (struct request *request = groups->systemd->requests; request; request = request->next)
		if (!request->is_done && request->kind == kind && !request->tries && request->run_ns > now) {
			request_again(request, 0);
			return;
		}
}

/* ---- memory.oom.group */

static void oom_write(struct groups *groups, const struct group *group)
{
	if (limit_apply_oom(group->v2_fd, group->is_whole) < 0)
		groups->counts.degraded++;
}

void systemd_set_oom(struct groups *groups, struct group *group, const struct policy_limits *limits)
{
	group->is_whole = limits->on_oom == POLICY_OOM_KILL_AGENT;
	oom_write(groups, group);
}

/*
 * With a scope's limits systemd writes this one, too, as 0; and not before it has answered, but before it does what it
 * is asked for next (manager_loop() of src/core/manager.c).
 */
static void oom_run(struct groups *groups, struct request *request)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	int r = -ENOTCONN;

	if (call_waits(groups, request))
		return;
	if (groups->systemd->bus)
		r = sd_bus_message_new_method_call(groups->systemd->bus, &message, SYSTEMD_NAME, SYSTEMD_PATH,
						   "org.freedesktop.DBus.Peer", "Ping");
	systemd_call(groups, request, message, r);
}

static void oom_answer(struct groups *groups, struct request *request, _unused_ int error)
{
	const struct group *group = idmap_get(&groups->by_agent, request->agent);

	if (group)
		oom_write(groups, group);
	request_end(request);
	call_next(groups, request->kind);
}

static void oom_expire(struct groups *groups, struct request *request)
{
	oom_answer(groups, request, -ETIMEDOUT);
}

static const struct request_kind request_oom = {.run = oom_run, .answer = oom_answer, .expire = oom_expire};

static void oom_again(struct groups *groups, const struct group *group)
{
	if (!group || !group->is_whole || !unit_is_scope(group->name))
		return;
	/* What it hasn't answered yet it answers after what has just been told, as it does all in order. */
	if (!request_find(groups, &request_oom, group->agent))
		begin(groups, &request_oom, group->agent, group->name, &limit_none);
}

void systemd_set_oom_again(struct groups *groups)
{
	const struct group *group;
	size_t cursor = 0;

	while ((group = idmap_next(&groups->by_agent, &cursor)))
		oom_again(groups, group);
}

/* ---- systemd's */

static void limit_run(struct groups *groups, struct request *request)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	int r;

	if (call_waits(groups, request))
		return;
	r = systemd_message(groups, "SetUnitProperties", &message);
	if (r >= 0)
		r = sd_bus_message_append(message, "sb", request->unit, 1);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "(sv)");
	if (r >= 0)
		r = unit_append_limits(message, &request->limits);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	systemd_call(groups, request, message, r);
}

/* Nobody else would set them: asked again until it is done, or can't be. */
static void limit_answer(struct groups *groups, struct request *request, int error)
{
	/* ENOENT: its scope has ended meanwhile. */
	bool is_final = error == 0 || error == -ENOENT || error == -EINVAL;

	if (error < 0 && error != -ENOENT)
		groups->counts.failed++;
	if (is_final)
		request_end(request);
	else
		request_again(request, LIMIT_RETRY_NS);
	call_next(groups, request->kind);
	if (error == 0)
		oom_again(groups, idmap_get(&groups->by_agent, request->agent));
}

static void limit_expire(struct groups *groups, struct request *request)
{
	groups->counts.failed++;
	request_extend(request);
	limit_run(groups, request);
}

static const struct request_kind request_limit = {.run = limit_run, .answer = limit_answer, .expire = limit_expire};

void systemd_relimit(struct groups *groups, uint64_t agent, const char *unit, const struct policy_limits *limits)
{
	static const struct request_kind *const kinds[] = {&request_limit, &request_oom};

	/* What was asked for before is out of date. */
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		struct request *request = request_find(groups, kinds[i], agent);

		if (request)
			request_end(request);
	}
	begin(groups, &request_limit, agent, unit, limits);
}

int systemd_limit(struct groups *groups, const struct action *action)
{
	struct request *request = request_find(groups, &request_place, action->agent->handle);
	struct policy_limits limits;
	struct group *group;

	ladder_limits(action->agent, &limits);
	if (request) {
		request->limits = limits;
		policy_unref(request->policy);
		request->policy = policy_ref(action->agent->policy);
		request->is_relimited = true;
		return 0;
	}
	group = group_find(groups, action->agent);
	if (!group || group->v2_fd < 0)
		return -ESRCH;
	/* A group that the native backend has made before. */
	if (!unit_is_scope(group->name))
		return native_limit(groups, action);
	systemd_set_oom(groups, group, &limits);
	if (native_limit_tools(groups, group, action->agent->policy) < 0)
		groups->counts.degraded++;
	systemd_relimit(groups, group->agent, group->name, &limits);
	return 0;
}
