/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/fanout.h"

#include "base/text.h"
#include "govd/manager.h"
#include "sense/fanout.h"

/* Whose births of processes the kernel counts. */

/* A nested agent's group isn't below the slice: like one that is observed it is known by its mark. */
static uint64_t owner_of(const struct agent *agent)
{
	if (agent->placement == POLICY_PLACEMENT_NESTED && !agent->is_observed)
		return agent->mark ? GOV_OWNER_MARK | agent->mark : 0;
	return connects_owner(agent);
}

void fanout_pace(struct manager *manager, const struct agent *agent)
{
	uint64_t owner = owner_of(agent), length_ns, limit;
	int r = 0;

	if (!owner)
		return;
	if (fanout_rule(agent->policy, &length_ns, &limit))
		r = bpf_fanout_set(manager->bpf, owner, length_ns, limit);
	else
		r = bpf_fanout_drop(manager->bpf, owner);
	if (r < 0)
		manager->counts.actions_failed++;
}

void fanout_forget(struct manager *manager, const struct agent *agent)
{
	uint64_t owner = owner_of(agent);

	if (owner && bpf_fanout_drop(manager->bpf, owner) < 0)
		manager->counts.actions_failed++;
}

void fanout_got_record(struct manager *manager, const struct gov_record_fanout *record)
{
	struct event event = {.kind = EVENT_FANOUT};

	if (record->owner & GOV_OWNER_MARK)
		event.fanout.mark = record->owner & ~(uint64_t)GOV_OWNER_MARK;
	else
		event.fanout.owner = record->owner;
	event.fanout.births = record->births;
	event.fanout.window_ns = record->window_ns;
	event.fanout.pid = (pid_t)record->head.pid;
	text_copy(event.fanout.comm, sizeof(event.fanout.comm), record->comm);
	manager_dispatch(manager, &event);
}
