/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel.h"

#include <stdarg.h>

#include "core/trace.h"

/* What happens on the simulated kernel, on stderr, for somebody who looks at a seed: events and actions as lines of
 * govd.trace(5), and what processes do behind a dot. */

static struct trace_names names;
static bool is_on;

void kernel_note(const struct kernel *kernel, const struct task *task, const char *what)
{
	bool is_lax = false;
	const struct owner *owner = is_on ? task_owner(kernel, task, &is_lax) : NULL;

	if (is_on)
		fprintf(stderr, ". %s %d/%llu ppid=%d exe=%s mark=%llu cage=%d node=%d life=%d owner=%lld%s%s\n", what,
			(int)task->pid, (unsigned long long)task->start, (int)task->ppid, exe_paths[task->exe],
			(unsigned long long)task->mark, task->cage, task->node, task->life,
			owner ? (long long)owner->handle : 0LL, is_lax ? " lax" : "", task->is_quiet ? " quiet" : "");
}

static void trace_begin(uint64_t seed)
{
	trace_names_done(&names);
	fprintf(stderr, "govd-trace %d seed=%llu\n", TRACE_VERSION, (unsigned long long)seed);
}

static void trace_policies(const struct policy_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		fprintf(stderr, ". policy %s%s\n", set->policies[i]->name,
			set->policies[i]->mode == POLICY_OBSERVE ? " observe" : "");
}

static void trace_event(_unused_ const struct state *state, const struct event *event)
{
	static char line[TRACE_LINE_MAX];
	struct text text = TEXT_ON(line);

	if (event->kind == EVENT_POLICIES)
		trace_policies(event->policies.set);
	trace_encode(event, &names, &text);
	fputs(line, stderr);
}

static void trace_actions(const struct state *state, const struct actions *actions)
{
	trace_names_learn(&names, state);
	for (size_t i = 0; i < actions->n; i++) {
		char line[4096] = "";
		struct text text = TEXT_ON(line);

		trace_encode_action(&actions->items[i], &names, &text);
		fputs(line, stderr);
		if (actions->items[i].kind == ACTION_PLACE)
			fprintf(stderr, ". agent %llu of %s, parent %llu\n",
				(unsigned long long)actions->items[i].agent->handle,
				actions->items[i].agent->policy->name,
				(unsigned long long)actions->items[i].agent->parent);
	}
	trace_names_forget(&names, actions);
}

void kernel_trace(void)
{
	static const struct kernel_recorder recorder = {
		.begin = trace_begin, .event = trace_event, .actions = trace_actions};

	kernel_recorder = &recorder;
	is_on = true;
}
