/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "base/text.h"
#include "core/state.h"

static struct policy *make_policy(const struct world_policy *from)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	policy->references = 1;
	text_copy(policy->name, sizeof(policy->name), from->name);
	policy->match.exe.globs = calloc(1, sizeof(char *));
	policy->match.exe.globs[0] = strdup(from->exe);
	policy->match.exe.n = 1;
	policy->mode = from->observe ? POLICY_OBSERVE : POLICY_ENFORCE;
	policy->protect = from->protect;
	policy->limits = (struct policy_limits){
		.memory_high_bytes = UNIT_INFINITY,
		.memory_max_bytes = from->memory_max_bytes ? from->memory_max_bytes : UNIT_INFINITY,
		.swap_max_bytes = UNIT_INFINITY,
		.tasks_max = UNIT_INFINITY,
	};
	policy->tools = (struct policy_tools){UNIT_INFINITY, UNIT_INFINITY};
	policy->sockets.max = UNIT_INFINITY;
	if (from->allow_user) {
		policy->allow_users = calloc(1, sizeof(uid_t));
		policy->allow_users[0] = from->allow_user;
		policy->n_allow_users = 1;
	}
	policy->stop_signal = SIGTERM;
	policy->stop_grace_ns = 10 * NSEC_PER_SEC;
	return policy;
}

struct policy_set *world_make_set(const struct world_policy *policies, size_t n)
{
	struct policy_set *set = calloc(1, sizeof(*set));

	set->references = 1;
	set->policies = calloc(n ? n : 1, sizeof(struct policy *));
	for (size_t i = 0; i < n; i++)
		set->policies[set->n++] = make_policy(&policies[i]);
	return set;
}

void world_set_policies(struct world *world, struct policy_set *set)
{
	struct event event = {.kind = EVENT_POLICIES};

	policy_set_unref(world->set);
	world->set = set;
	event.policies.set = set;
	world_step(world, &event);
}

void world_init(struct world *world, const struct world_policy *policies, size_t n)
{
	struct event end = {.kind = EVENT_CENSUS_END};

	*world = (struct world){.state = state_new(1), .now_ns = NSEC_PER_SEC};
	world_set_policies(world, world_make_set(policies, n));
	EXPECT(world, "census");
	world_step(world, &end);
}

void world_done(struct world *world)
{
	actions_done(&world->actions);
	state_free(world->state);
	policy_set_unref(world->set);
}

struct proc world_proc(pid_t pid, const char *exe)
{
	return (struct proc){
		.pid = pid,
		.ppid = 2,
		.start_ticks = (uint64_t)pid * 10,
		.uid = 1000,
		.exe = exe,
		.args = exe,
		.cgroup = "/",
		.cgroup_id = 1,
		.flags = PROC_OUTSIDE,
	};
}

void world_step(struct world *world, struct event *event)
{
	world->now_ns += NSEC_PER_MSEC;
	event->time_ns = world->now_ns;
	step(world->state, event, &world->actions);
	cr_assert_eq(world->actions.dropped, 0);
}

void world_exec(struct world *world, const struct proc *proc, uint64_t parent_mark)
{
	struct event event = {.kind = EVENT_EXEC};

	event.exec.proc = *proc;
	event.exec.parent_mark = parent_mark;
	world_step(world, &event);
}

void world_fork(struct world *world, pid_t pid, pid_t ppid, uint64_t mark)
{
	struct event event = {.kind = EVENT_FORK};

	event.fork.pid = pid;
	event.fork.ppid = ppid;
	event.fork.start_ticks = (uint64_t)pid * 10;
	event.fork.mark = mark;
	event.fork.cgroup_id = 1;
	world_step(world, &event);
}

void world_exit(struct world *world, pid_t pid, int32_t exit_code)
{
	struct event event = {.kind = EVENT_EXIT};

	event.exit.pid = pid;
	event.exit.start_ticks = (uint64_t)pid * 10;
	event.exit.exit_code = exit_code;
	event.exit.has_code = true;
	world_step(world, &event);
}

void world_hold(struct world *world, const struct proc *proc, uint64_t token)
{
	struct event event = {.kind = EVENT_HOLD};

	event.hold.proc = *proc;
	event.hold.token = token;
	world_step(world, &event);
}

void world_placed(struct world *world, int error)
{
	const struct action *place = world_action(world, ACTION_PLACE, 0);
	struct event event = {.kind = EVENT_RESULT};

	cr_assert_not_null(place, "nothing is being placed");
	event.result.action = ACTION_PLACE;
	event.result.agent = place->agent->handle;
	event.result.error = error;
	event.result.pid = place->process.pid;
	event.result.cgroup_id = error ? 0 : 1000 + place->agent->handle;
	event.result.cgroup = error ? NULL : "/test.slice/agent";
	event.result.origin = error ? NULL : "/";
	world_step(world, &event);
}

void world_empty(struct world *world, uint64_t agent)
{
	struct event event = {.kind = EVENT_EMPTY};

	event.empty.agent = agent;
	world_step(world, &event);
}

void world_result(struct world *world, enum action_kind kind, uint64_t agent)
{
	struct event event = {.kind = EVENT_RESULT};

	event.result.action = kind;
	event.result.agent = agent;
	world_step(world, &event);
}

void world_removed(struct world *world, uint64_t agent, int error)
{
	struct event event = {.kind = EVENT_RESULT};

	event.result.action = ACTION_REMOVE;
	event.result.agent = agent;
	event.result.error = error;
	world_step(world, &event);
}

void world_set_key(struct world *world, struct agent *agent, const char *key)
{
	key_remove(world->state, agent);
	state_set_text(world->state, &agent->key, key, POLICY_KEY_MAX);
	cr_assert_eq(key_add(world->state, agent), 0);
}

uint64_t world_command(struct world *world, enum command command, uint64_t agent)
{
	struct event event = {.kind = EVENT_COMMAND};

	event.command.command = command;
	event.command.request = ++world->next_request;
	event.command.agent = agent;
	world_step(world, &event);
	return world->next_request;
}

void world_wait(struct world *world, uint64_t ns)
{
	struct event event = {.kind = EVENT_TICK};

	world->now_ns += ns;
	world_step(world, &event);
}

void world_orphan(struct world *world, const struct agent *agent)
{
	struct event event = {.kind = EVENT_ORPHANED};

	event.orphaned.agent = agent->handle;
	world_step(world, &event);
}

const struct action *world_action(const struct world *world, enum action_kind kind, size_t i)
{
	for (size_t j = 0; j < world->actions.n; j++)
		if (world->actions.items[j].kind == kind && i-- == 0)
			return &world->actions.items[j];
	return NULL;
}

size_t world_count(const struct world *world, enum action_kind kind)
{
	size_t n = 0;

	while (world_action(world, kind, n))
		n++;
	return n;
}

const struct incident *world_told(const struct world *world)
{
	const struct action *record = world_action(world, ACTION_RECORD, 0);

	cr_assert_not_null(record, "nothing is recorded");
	return &record->incident;
}

const struct incident *world_incident(const struct world *world, enum incident_kind kind)
{
	const struct action *action;

	for (size_t i = 0; (action = world_action(world, ACTION_RECORD, i)); i++)
		if (action->incident.kind == kind)
			return &action->incident;
	return NULL;
}

const struct fact *world_fact(const struct incident *incident, const char *name)
{
	for (size_t i = 0; i < incident->n_facts; i++)
		if (streq(incident->facts[i].name, name))
			return &incident->facts[i];
	return NULL;
}

const char *world_text(const struct incident *incident, const char *name)
{
	const struct fact *fact = world_fact(incident, name);

	return fact ? incident_text(incident, fact) : NULL;
}

uint64_t world_number(const struct incident *incident, const char *name)
{
	const struct fact *fact = world_fact(incident, name);

	cr_assert_not_null(fact, "no %s", name);
	return fact->number;
}

void world_expect(const struct world *world, const char *kinds, const char *file, int line)
{
	char got[512] = "";
	struct text text = TEXT_ON(got);

	for (size_t i = 0; i < world->actions.n; i++)
		text_addf(&text, "%s%s", i ? " " : "", action_kind_name(world->actions.items[i].kind));
	cr_assert(streq(got, kinds), "%s:%d: wanted actions `%s`, got `%s`", file, line, kinds, got);
}
