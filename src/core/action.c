/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/action.h"

static const char *const action_names[ACTION_KINDS] = {
	[ACTION_PLACE] = "place",
	[ACTION_MOVE] = "move",
	[ACTION_EVICT] = "evict",
	[ACTION_LIMIT] = "limit",
	[ACTION_SAVE] = "save",
	[ACTION_MARK] = "mark",
	[ACTION_RELEASE] = "release",
	[ACTION_FREEZE] = "freeze",
	[ACTION_THAW] = "thaw",
	[ACTION_SIGNAL] = "signal",
	[ACTION_SIGNAL_ALL] = "signal-all",
	[ACTION_KILL] = "kill",
	[ACTION_REMOVE] = "remove",
	[ACTION_HOLD_ANSWER] = "hold-answer",
	[ACTION_REPLY] = "reply",
	[ACTION_RECORD] = "record",
	[ACTION_SWEEP] = "sweep",
	[ACTION_CENSUS] = "census",
	[ACTION_PACE] = "pace",
	[ACTION_UNPACE] = "unpace",
	[ACTION_TOOL_PLACE] = "tool-place",
	[ACTION_TOOL_SIGNAL] = "tool-signal",
	[ACTION_TOOL_KILL] = "tool-kill",
	[ACTION_TOOL_REMOVE] = "tool-remove",
	[ACTION_TOOL_WEIGH] = "tool-weigh",
	[ACTION_TOOL_LOOK] = "tool-look",
	[ACTION_LOOK] = "look",
	[ACTION_SAMPLE] = "sample",
	[ACTION_WEIGH] = "weigh",
	[ACTION_WATCH] = "watch",
	[ACTION_PRESSURE] = "pressure",
	[ACTION_RECLAIM] = "reclaim",
	[ACTION_WATCH_PARENT] = "watch-parent",
	[ACTION_ACTIVITY] = "activity",
	[ACTION_TIMER] = "timer",
	[ACTION_FORGET] = "forget",
};

const char *action_kind_name(enum action_kind kind)
{
	return action_names[kind];
}

void actions_done(struct actions *actions)
{
	free(actions->items);
	*actions = (struct actions){0};
}

struct action *actions_add(struct actions *actions, enum action_kind kind, const struct agent *agent)
{
	struct action *action;

	if (actions->n == actions->size) {
		size_t size = actions->size ? actions->size * 2 : 8;
		struct action *items = reallocarray(actions->items, size, sizeof(*items));

		if (!items) {
			actions->dropped++;
			return NULL;
		}
		actions->items = items;
		actions->size = size;
	}
	action = &actions->items[actions->n++];
	*action = (struct action){.kind = kind, .agent = agent};
	return action;
}
