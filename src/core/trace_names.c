/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"
#include "core/trace_private.h"

/* Names of agents in a trace. */

struct trace_name {
	uint64_t handle;
	uint64_t name; /* name_of() */
};

#define NAME_GONE "gone"

static uint64_t name_of(pid_t pid, uint32_t nth)
{
	return (uint64_t)nth << 32 | (uint32_t)pid;
}

static void free_names(struct idmap *map)
{
	struct trace_name *item;
	size_t cursor = 0;

	while ((item = idmap_next(map, &cursor)))
		free(item);
	idmap_done(map);
}

void trace_names_done(struct trace_names *names)
{
	idmap_done(&names->by_name);
	free_names(&names->by_handle);
	*names = (struct trace_names){0};
}

/* One that can't be kept for want of memory is `gone`. */
static void add_name(struct trace_names *names, const struct agent *agent)
{
	struct trace_name *item = malloc(sizeof(*item));
	uint32_t nth = 1;

	if (!item)
		return;
	while (idmap_get(&names->by_name, name_of(agent->root_pid, nth)))
		nth++;
	*item = (struct trace_name){.handle = agent->handle, .name = name_of(agent->root_pid, nth)};
	if (idmap_put(&names->by_handle, item->handle, item) < 0) {
		free(item);
		return;
	}
	if (idmap_put(&names->by_name, item->name, item) < 0) {
		idmap_remove(&names->by_handle, item->handle);
		free(item);
	}
}

void trace_names_learn(struct trace_names *names, const struct state *state)
{
	while (names->last_handle < state->next_handle) {
		const struct agent *agent = state_agent_by_handle(state, ++names->last_handle);

		if (agent)
			add_name(names, agent);
	}
}

void trace_names_forget(struct trace_names *names, const struct actions *actions)
{
	for (size_t i = 0; i < actions->n; i++) {
		const struct action *action = &actions->items[i];
		struct trace_name *item;

		if (action->kind != ACTION_FORGET)
			continue;
		item = idmap_remove(&names->by_handle, action->agent->handle);
		if (item)
			idmap_remove(&names->by_name, item->name);
		free(item);
	}
}

void trace_name_format(const struct trace_names *names, uint64_t handle, char name[static TRACE_AGENT_MAX])
{
	const struct trace_name *item = idmap_get(&names->by_handle, handle);
	uint32_t nth;

	if (!item) {
		text_copy(name, TRACE_AGENT_MAX, NAME_GONE);
		return;
	}
	nth = (uint32_t)(item->name >> 32);
	if (nth > 1)
		snprintf(name, TRACE_AGENT_MAX, "%u.%u", (unsigned)(uint32_t)item->name, (unsigned)nth);
	else
		snprintf(name, TRACE_AGENT_MAX, "%u", (unsigned)(uint32_t)item->name);
}

uint64_t trace_name_find(const struct trace_names *names, const char *name)
{
	const struct trace_name *item;
	uint64_t pid, nth = 1;
	char digits[TRACE_AGENT_MAX];
	char *dot;

	if (!text_copy(digits, sizeof(digits), name))
		return UINT64_MAX;
	dot = strchr(digits, '.');
	if (dot)
		*dot = '\0';
	if (!trace_parse_number(digits, UINT32_MAX, &pid) || (dot && !trace_parse_number(dot + 1, UINT32_MAX, &nth)))
		return UINT64_MAX;
	item = idmap_get(&names->by_name, nth << 32 | pid);
	return item ? item->handle : UINT64_MAX;
}
