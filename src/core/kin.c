/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"
#include "core/tool.h"

/* Is this process an agent, a part of one, or nobody's? */

/* Nobody governs it: what it forks is of no interest. */
static void quiet_mark(struct actions *actions, const struct proc *proc)
{
	struct action *action = actions_add(actions, ACTION_MARK, NULL);

	if (!action)
		return;
	action->process.pid = proc->pid;
	action->process.start_ticks = proc->start_ticks;
	action->process.is_quiet = true;
}

/* What a process is, as far as its place and its policy tell. */
struct kin {
	struct agent *agent;  /* it is, or is to be, a part of this one; NULL: of none */
	bool is_inside;	      /* and lives in its group already */
	bool is_by_parent;    /* it is known by its parent alone: its mark may be others', too */
	struct policy *birth; /* it is to be an agent of its own, under this policy */
};

static struct agent *observed_parent(const struct state *state, const struct proc *proc)
{
	struct agent *agent = idmap_get(&state->by_root, (uint64_t)proc->ppid);

	return agent && agent->is_observed && agent->root_start_ticks <= proc->start_ticks ? agent : NULL;
}

/* Somebody has released it, or this govd couldn't place it. */
static bool is_left_alone(const struct state *state, const struct proc *proc)
{
	return state_is_released(state, proc->pid, proc->start_ticks) ||
	       state_has_verdict(state, process_id(proc->pid, proc->start_ticks));
}

/* What an agent that began in another's group starts there until it is placed is its own, and follows it. */
static bool is_to_leave(const struct state *state, const struct agent *agent, const struct agent *there)
{
	return agent && !agent->is_observed && state_began_in(state, agent, there);
}

static struct kin find_kin(struct state *state, const struct proc *proc, uint64_t lineage)
{
	struct kin kin = {.agent = proc->cgroup_id ? idmap_get(&state->by_cgroup, proc->cgroup_id) : NULL};
	struct agent *own = state_by_root(state, proc->pid, proc->start_ticks);
	struct policy *policy;

	/* A root that is being placed may yet be in the group of the agent that has started it. */
	kin.is_inside = kin.agent && !(own && own->is_placing);
	if (!kin.is_inside)
		kin.agent = own;
	/* Who asked for it by name has the last word on its root. */
	if (kin.agent && kin.agent->is_explicit && agent_is_root(kin.agent, proc->pid, proc->start_ticks))
		return kin;
	if (is_left_alone(state, proc))
		return kin;
	/* What was released isn't a part of its lineage any more, either. */
	if (!kin.agent || is_to_leave(state, state_by_mark(state, lineage), kin.agent)) {
		kin.agent = state_by_mark(state, lineage);
		kin.is_inside = false;
	}
	/* An observed agent has no group: in a scan its children are told by their parent. */
	if (!kin.agent) {
		kin.agent = observed_parent(state, proc);
		kin.is_by_parent = kin.agent;
	}
	policy = match_find(state->set, proc);
	if (policy && !(kin.agent && streq(kin.agent->policy->name, policy->name)))
		kin.birth = policy;
	return kin;
}

static void join_agent(struct state *state, struct agent *agent, pid_t pid, uint64_t start_ticks,
		       struct actions *actions)
{
	struct action *action;

	if (agent->is_observed || agent->state == AGENT_GONE)
		return;
	if (agent->is_placing) {
		agent->wants_census = true;
		return;
	}
	if (!agent->is_placed) {
		birth_anew(state, agent, pid, start_ticks, actions);
		return;
	}
	action = actions_add(actions, ACTION_MOVE, agent);
	if (action) {
		action->process.pid = pid;
		action->process.start_ticks = start_ticks;
	}
	tools_look(agent, actions);
}

/* A mark that isn't the birth of an agent: whose lineage does it stand for? */
static void note_mark(struct state *state, const struct kin *kin, const struct birth *birth, uint64_t lineage)
{
	struct agent *agent = kin->is_by_parent ? NULL : kin->agent;
	bool is_root = agent && agent_is_root(agent, birth->proc->pid, birth->proc->start_ticks);
	bool is_known = !lineage || state_by_mark(state, lineage);

	/* The record of what it executed before it was held comes behind its hold: whom it started then isn't the
	 * agent's. */
	bool is_older = is_root && birth->mark <= agent->held_mark;

	if (is_root && !is_older && !agent->mark && state_set_mark(state, agent, birth->mark) == 0)
		return;
	/* The record of the exec that its lineage began with may come later, also that of an agent that began here. */
	if (!agent || is_older || (kin->is_inside && !is_known))
		state_add_verdict(state, birth->mark, lineage == birth->mark ? 0 : lineage);
	else
		state_add_verdict(state, birth->mark, agent->mark);
}

/* What is protected isn't an agent's either, whoever has started it: the agent's end must not be its own. */
static void evict_protected(struct state *state, const struct proc *proc, struct actions *actions)
{
	struct agent *agent = proc->cgroup_id ? idmap_get(&state->by_cgroup, proc->cgroup_id) : NULL;
	struct action *action;

	if (proc->mark)
		quiet_mark(actions, proc);
	/* Nobody's: whoever else is found with it isn't the root of its lineage. */
	if (proc->mark && !idmap_get(&state->by_mark, proc->mark) && !state_has_verdict(state, proc->mark))
		state_add_verdict(state, proc->mark, 0);
	if (!agent)
		return;
	action = actions_add(actions, ACTION_EVICT, agent);
	if (!action)
		return;
	action->process.pid = proc->pid;
	action->process.start_ticks = proc->start_ticks;
	record_agent(actions, INCIDENT_PROTECTED, agent, (struct record_words){"protect", "evict", "done"});
}

static void answer_hold(struct actions *actions, uint64_t token, bool is_refused)
{
	struct action *action = actions_add(actions, ACTION_HOLD_ANSWER, NULL);

	if (!action)
		return;
	action->hold.token = token;
	action->hold.is_refused = is_refused;
}

/* Common to all ways of coming across a process. Returns the agent that it waits for, or NULL. */
static struct agent *consider(struct state *state, struct birth *birth, uint64_t lineage, struct actions *actions)
{
	const struct proc *proc = birth->proc;
	struct birth own = *birth;
	struct kin kin = {0};

	if (match_is_protected(state->set, proc)) {
		evict_protected(state, proc, actions);
		return NULL;
	}
	kin = find_kin(state, proc, lineage);
	/* A root that is held hasn't executed yet what made it one: a look sees what it was before, and the mark that
	 * it shares with others from then. */
	if (birth->how == BIRTH_SCAN && kin.agent && kin.agent->n_hold_tokens && kin.agent->root_pid == proc->pid)
		return NULL;
	if (kin.birth) {
		own.policy = kin.birth;
		birth->is_refused = backoff_refuses(state, &own, actions);
		if (birth->is_refused) {
			answer_hold(actions, birth->hold_token, true);
			return NULL;
		}
		return birth_agent(state, &own, actions);
	}
	/* Who is in a group and carries a mark from before has come there without its lineage. */
	if (birth->mark && !idmap_get(&state->by_mark, birth->mark) && !(birth->how == BIRTH_SCAN && kin.is_inside))
		note_mark(state, &kin, birth, lineage);
	if (kin.agent && !kin.is_inside)
		join_agent(state, kin.agent, proc->pid, proc->start_ticks, actions);
	if ((!kin.agent || kin.agent->is_observed) && birth->mark)
		quiet_mark(actions, proc);
	return kin.agent;
}

void step_exec(struct state *state, const struct event *event, struct actions *actions)
{
	const struct proc *proc = &event->exec.proc;
	struct birth birth = {.proc = proc, .how = BIRTH_EXEC, .mark = proc->mark, .by = INCIDENT_BY_GOVD};

	consider(state, &birth, event->exec.parent_mark, actions);
}

void step_hold(struct state *state, const struct event *event, struct actions *actions)
{
	const struct proc *proc = &event->hold.proc;
	struct birth birth = {
		.proc = proc,
		.how = BIRTH_HOLD,
		.mark = 0,
		.hold_token = event->hold.token,
		.by = INCIDENT_BY_GOVD,
	};
	struct agent *agent = consider(state, &birth, proc->mark, actions);

	if (birth.is_refused)
		return;
	if (agent && backoff_takes_back(state, agent, proc, actions)) {
		answer_hold(actions, event->hold.token, true);
		return;
	}
	if (!agent || !agent->is_placing) {
		answer_hold(actions, event->hold.token, false);
		return;
	}
	for (size_t i = 0; i < agent->n_hold_tokens; i++)
		if (agent->hold_tokens[i] == event->hold.token)
			return;
	if (agent->n_hold_tokens < AGENT_TOKENS_MAX)
		agent->hold_tokens[agent->n_hold_tokens++] = event->hold.token;
	else
		answer_hold(actions, event->hold.token, false);
}

void step_fork(struct state *state, const struct event *event, struct actions *actions)
{
	const struct agent *there = event->fork.cgroup_id ? idmap_get(&state->by_cgroup, event->fork.cgroup_id) : NULL;
	struct agent *agent =
		event->fork.agent ? state_get(state, event->fork.agent) : state_by_mark(state, event->fork.mark);

	/* A child that was held has become an agent of its own before its fork's record was read. */
	if (state_by_root(state, event->fork.pid, event->fork.start_ticks))
		return;
	if ((event->fork.tool || event->fork.of.pid) && tool_forked(state, event, actions))
		return;
	if (!agent || there == agent)
		return;
	/* By its mark it leaves no group but those in which the agent began: another's has got it in another way. */
	if (event->fork.agent || !there || state_began_in(state, agent, there))
		join_agent(state, agent, event->fork.pid, event->fork.start_ticks, actions);
}

void step_seen(struct state *state, const struct event *event, struct actions *actions)
{
	const struct proc *proc = &event->seen.proc;
	struct birth birth = {.proc = proc, .how = BIRTH_SCAN, .by = INCIDENT_BY_GOVD};
	bool is_known = proc->mark && (idmap_get(&state->by_mark, proc->mark) || state_has_verdict(state, proc->mark));
	struct agent *agent;

	/* A mark that nobody knows: its exec record was lost. Who carries it stands for its root. */
	if (proc->mark && !is_known)
		birth.mark = proc->mark;
	agent = state_by_root(state, proc->pid, proc->start_ticks);
	if (agent && !agent->root_ppid)
		agent->root_ppid = proc->ppid;
	consider(state, &birth, proc->mark, actions);
}
