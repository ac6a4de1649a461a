/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ladder_model.h"

#include <criterion/criterion.h>

static const struct world_policy policies[] = {{.name = "bot", .exe = "/opt/bot"}};

static struct policy_set *make_set(const struct model_policy *from)
{
	struct policy_set *set = world_make_set(policies, ELEMENTSOF(policies));
	struct policy *policy = set->policies[0];

	policy->on_pressure = from->on_pressure;
	policy->protect = from->protect;
	policy->limits.on_oom = from->on_oom;
	policy->limits.memory_high_bytes = from->high_bytes ? from->high_bytes : UNIT_INFINITY;
	policy->limits.memory_max_bytes = from->max_bytes ? from->max_bytes : UNIT_INFINITY;
	return set;
}

static void result(struct model *model, enum action_kind kind)
{
	struct event event = {.kind = EVENT_RESULT};

	event.result.action = kind;
	event.result.agent = model->handle;
	model_send(model, &event);
}

static void look(struct model *model)
{
	struct event event = {.kind = EVENT_PRESSURE};

	event.pressure.agent = model->handle;
	event.pressure.view = model->view;
	model_send(model, &event);
}

static void perform(struct model *model, const struct action *action)
{
	struct policy_limits limits;

	model->counts[action->kind]++;
	model->second[action->kind]++;
	switch (action->kind) {
	case ACTION_WATCH:
		model->is_watched = true;
		break;
	case ACTION_TIMER:
		model->timer_ns = action->time_ns;
		break;
	case ACTION_LIMIT:
		ladder_limits(action->agent, &limits);
		model->high_bytes = limits.memory_high_bytes;
		break;
	case ACTION_RECLAIM:
		model->reclaim_bytes = action->bytes;
		break;
	case ACTION_FORGET:
		model->has_ended = true;
		break;
	case ACTION_RECORD:
		if (action->incident.kind == INCIDENT_PRESSURE && model->n_incidents < ELEMENTSOF(model->incidents))
			model->incidents[model->n_incidents++] = action->incident;
		break;
	default:
		break;
	}
}

void model_send(struct model *model, struct event *event)
{
	bool wants_look, wants_freeze, wants_thaw;

	world_step(&model->world, event);
	for (size_t i = 0; i < model->world.actions.n; i++)
		perform(model, &model->world.actions.items[i]);
	wants_look = world_count(&model->world, ACTION_PRESSURE);
	wants_freeze = world_count(&model->world, ACTION_FREEZE);
	wants_thaw = world_count(&model->world, ACTION_THAW);
	cr_assert(!wants_freeze || !wants_thaw);
	if (wants_look)
		look(model);
	if (wants_freeze || wants_thaw) {
		model->is_frozen = wants_freeze;
		result(model, wants_freeze ? ACTION_FREEZE : ACTION_THAW);
	}
}

void model_command(struct model *model, enum command command)
{
	struct event event = {.kind = EVENT_COMMAND};

	event.command.command = command;
	event.command.request = ++model->world.next_request;
	event.command.agent = model->handle;
	model_send(model, &event);
}

void model_init(struct model *model, const struct model_policy *policy)
{
	struct proc proc = world_proc(ROOT, "/opt/bot");
	const struct action *watch;

	*model = (struct model){.timer_ns = UINT64_MAX};
	world_init(&model->world, policies, ELEMENTSOF(policies));
	world_set_policies(&model->world, make_set(policy));
	world_exec(&model->world, &proc, 0);
	world_placed(&model->world, 0);
	watch = world_action(&model->world, ACTION_PACE, 0);
	model->agent = watch->agent;
	model->handle = watch->agent->handle;
	model->is_watched = world_count(&model->world, ACTION_WATCH);
	model->high_bytes = policy->high_bytes ? policy->high_bytes : UNIT_INFINITY;
	model->view = (struct pressure_view){
		.memory_bytes = (policy->high_bytes ? policy->high_bytes : policy->max_bytes) / 2,
		.file_bytes = 32 * MIB,
		.can_reclaim = true,
		.can_throttle = true,
	};
}

void model_set_policy(struct model *model, const struct model_policy *policy)
{
	world_set_policies(&model->world, make_set(policy));
	for (size_t i = 0; i < model->world.actions.n; i++)
		perform(model, &model->world.actions.items[i]);
}

void model_done(struct model *model)
{
	world_done(&model->world);
}

bool model_acts(const struct model *model)
{
	return model->second[ACTION_RECLAIM] + model->second[ACTION_FREEZE] + model->second[ACTION_LIMIT] +
	       model->second[ACTION_THAW] + model->second[ACTION_SIGNAL] + model->second[ACTION_KILL];
}

void model_run(struct model *model, unsigned seconds, unsigned some_pct, unsigned full_pct)
{
	for (unsigned i = 0; i < seconds && !model->has_ended; i++) {
		struct event tick = {.kind = EVENT_TICK};

		memset(model->second, 0, sizeof(model->second));
		model->world.now_ns += NSEC_PER_SEC;
		if (!model->is_frozen) {
			model->view.some_us += some_pct * UINT64_C(10000);
			model->view.full_us += full_pct * UINT64_C(10000);
			/* Who waits above memory.high is told of there. */
			model->view.highs += full_pct;
		}
		if (model->is_watched && some_pct >= 15 && !model->is_frozen) {
			model->is_watched = false;
			look(model);
		}
		if (model->timer_ns <= model->world.now_ns)
			model_send(model, &tick);
	}
}

const struct incident *model_incident(const struct model *model, const char *action, size_t i)
{
	for (size_t j = 0; j < model->n_incidents; j++)
		if (streq(model->incidents[j].action, action) && i-- == 0)
			return &model->incidents[j];
	return NULL;
}
