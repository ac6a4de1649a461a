/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "core/access.h"
#include "core/state.h"
#include "world.h"

#define EXE "/opt/bots/agent"
#define STRANGER 1001

static const enum access_class classes[] = {ACCESS_LOOK, ACCESS_ACT, ACCESS_RUN};

static void expect(struct access_caller caller, const enum access_verdict verdicts[ELEMENTSOF(classes)])
{
	for (size_t i = 0; i < ELEMENTSOF(classes); i++)
		cr_expect_eq(access_decide(classes[i], &caller), verdicts[i], "%s", access_action(classes[i]));
}

#define DECIDES(caller, ...) expect((struct access_caller)caller, (const enum access_verdict[]){__VA_ARGS__})
#define CALLER(...)                                                                                                    \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}

Test(access, on_the_socket_polkit_is_not_asked)
{
	DECIDES(CALLER(.is_root = true), ACCESS_GRANTED, ACCESS_GRANTED, ACCESS_GRANTED);
	DECIDES(CALLER(.may_look = true), ACCESS_GRANTED, ACCESS_DENIED, ACCESS_BY_POLICY);
	DECIDES(CALLER(.is_allowed = true), ACCESS_DENIED, ACCESS_DENIED, ACCESS_BY_POLICY);
	DECIDES(CALLER(.is_root = false), ACCESS_DENIED, ACCESS_DENIED, ACCESS_DENIED);
	DECIDES(CALLER(.is_allowed = true, .is_denied = true), ACCESS_DENIED, ACCESS_DENIED, ACCESS_DENIED);
}

Test(access, on_the_system_bus_polkit_is_asked_for_what_is_not_theirs)
{
	DECIDES(CALLER(.may_be_asked = true, .is_root = true), ACCESS_GRANTED, ACCESS_GRANTED, ACCESS_GRANTED);
	DECIDES(CALLER(.may_be_asked = true, .may_look = true), ACCESS_GRANTED, ACCESS_ASK, ACCESS_BY_POLICY);
	DECIDES(CALLER(.may_be_asked = true, .is_allowed = true), ACCESS_ASK, ACCESS_ASK, ACCESS_BY_POLICY);
	DECIDES(CALLER(.may_be_asked = true), ACCESS_ASK, ACCESS_ASK, ACCESS_ASK);
	DECIDES(CALLER(.may_be_asked = true, .is_allowed = true, .is_denied = true), ACCESS_ASK, ACCESS_ASK,
		ACCESS_ASK);
}

/* ---- what the core makes of a grant ---- */

static struct agent *begin(struct world *world)
{
	struct world_policy policy = {.name = "bots", .exe = EXE};
	struct proc proc = world_proc(100, EXE);

	world_init(world, &policy, 1);
	world_exec(world, &proc, 0);
	world_placed(world, 0);
	return state_by_root(world->state, 100, proc.start_ticks);
}

static enum reply_code ask(struct world *world, enum command command, bool granted)
{
	struct proc proc = world_proc(100, EXE);
	struct event event = {.kind = EVENT_COMMAND};
	const struct agent *agent = state_by_root(world->state, 100, proc.start_ticks);

	event.command.command = command;
	event.command.request = 7;
	event.command.agent = agent->handle;
	event.command.uid = STRANGER;
	event.command.granted = granted;
	world_step(world, &event);
	cr_assert_eq(world_count(world, ACTION_REPLY), 1);
	return world_action(world, ACTION_REPLY, 0)->reply.code;
}

Test(access, a_grant_opens_what_allow_does_not)
{
	struct world world;
	const struct agent *agent = begin(&world);

	cr_assert_not_null(agent);
	cr_expect_eq(ask(&world, COMMAND_TOUCH, false), REPLY_DENIED);
	cr_expect_eq(ask(&world, COMMAND_TOUCH, true), REPLY_OK);
	cr_expect_eq(ask(&world, COMMAND_STOP, false), REPLY_DENIED);
	cr_expect_eq(ask(&world, COMMAND_STOP, true), REPLY_OK);
	/* Told is who has asked, not who has granted it. */
	cr_expect_eq(agent->by_uid, STRANGER);
	world_done(&world);
}
