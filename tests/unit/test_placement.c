/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "core/placement.h"
#include "world.h"

Test(placement, owner_by_cgroup)
{
	static const struct {
		const char *cgroup;
		enum cgroup_owner owner;
	} rows[] = {
		{"", OWNER_NONE},
		{"/", OWNER_NONE},
		{"/agents.slice", OWNER_NONE},
		{"/agents.slice/bot-0123abcd", OWNER_NONE},
		{"/agents.slice/govd-bot-0123abcd.scope", OWNER_NONE},
		{"/user.slice/user-1000.slice/session-3.scope", OWNER_NONE},
		{"/system.slice/run-p232-i532.scope", OWNER_NONE},
		{"/system.slice/run-r1.scope/inner", OWNER_NONE},
		{"/init.scope", OWNER_SERVICE},
		{"/system.slice/bot.service", OWNER_SERVICE},
		{"/system.slice/bot.service/inner", OWNER_SERVICE},
		{"/system.slice/bot.service/inner.scope", OWNER_SERVICE},
		{"/system.slice/system-bot.slice/bot@1.service", OWNER_SERVICE},
		{"/system.slice/_cpu.service", OWNER_SERVICE},
		{"/system.slice/cron.service", OWNER_SERVICE},
		{"/system.slice/system-getty.slice/getty@tty1.service", OWNER_NONE},
		{"/system.slice/system-serial\\x2dgetty.slice/serial-getty@ttyS0.service", OWNER_NONE},
		{"/system.slice/ssh.service", OWNER_NONE},
		{"/user.slice/user-1000.slice/user@1000.service/init.scope", OWNER_SERVICE},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/bot.service", OWNER_SERVICE},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.kde.konsole@1.service", OWNER_NONE},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/"
		 "vte-spawn-1.scope",
		 OWNER_NONE},
		{"/user.slice/user-1000.slice/user@1000.service", OWNER_SERVICE},
		{"/system.slice/docker-0123.scope", OWNER_CONTAINER},
		{"/system.slice/docker-0123.scope/init.scope", OWNER_CONTAINER},
		{"/docker/0123", OWNER_CONTAINER},
		{"/machine.slice/libpod-0123.scope/container", OWNER_CONTAINER},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-0123.scope/container",
		 OWNER_CONTAINER},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-0123.scope",
		 OWNER_CONTAINER},
		{"/kubepods/besteffort/pod1/0123", OWNER_CONTAINER},
		{"/machine.slice/machine-box.scope/payload", OWNER_CONTAINER},
		{"/lxc.payload.box/system.slice/bot.service", OWNER_CONTAINER},
		/* A service is no container for its name. */
		{"/system.slice/docker.service", OWNER_SERVICE},
	};

	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		cr_expect_eq(placement_owner(rows[i].cgroup), rows[i].owner, "%s: %s", rows[i].cgroup,
			     owner_name(placement_owner(rows[i].cgroup)));
}

Test(placement, owner_by_origin)
{
	const char *cgroup = "/agents.slice/bot-1";

	cr_expect_eq(placement_owner_of_origin("v2=/system.slice/bot.service;memory=/x", cgroup), OWNER_SERVICE);
	cr_expect_eq(placement_owner_of_origin("v2=/user.slice/session-1.scope", cgroup), OWNER_NONE);
	cr_expect_eq(placement_owner_of_origin("", cgroup), OWNER_NONE);
	/* It was started by another agent, of a govd whose slice is in its own unit. */
	cr_expect_eq(placement_owner_of_origin("v2=/system.slice/govd.service/agents.slice/outer-2",
					       "/system.slice/govd.service/agents.slice/inner-1"),
		     OWNER_NONE);
}

Test(placement, what_a_policy_means)
{
	static const struct {
		enum policy_placement written;
		enum cgroup_owner owner;
		bool is_explicit;
		enum policy_placement chosen;
	} rows[] = {
		{POLICY_PLACEMENT_AUTO, OWNER_NONE, false, POLICY_PLACEMENT_SCOPE},
		{POLICY_PLACEMENT_AUTO, OWNER_SERVICE, false, POLICY_PLACEMENT_NONE},
		{POLICY_PLACEMENT_AUTO, OWNER_CONTAINER, false, POLICY_PLACEMENT_NONE},
		{POLICY_PLACEMENT_AUTO, OWNER_SERVICE, true, POLICY_PLACEMENT_SCOPE},
		{POLICY_PLACEMENT_SCOPE, OWNER_CONTAINER, false, POLICY_PLACEMENT_SCOPE},
		{POLICY_PLACEMENT_NESTED, OWNER_NONE, false, POLICY_PLACEMENT_NESTED},
		{POLICY_PLACEMENT_NONE, OWNER_NONE, true, POLICY_PLACEMENT_NONE},
	};

	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		struct policy policy = {.placement = rows[i].written};

		cr_expect_eq(placement_choose(&policy, rows[i].owner, rows[i].is_explicit), rows[i].chosen, "row %zu",
			     i);
		cr_expect_not_null(placement_reason(&policy, rows[i].owner, rows[i].is_explicit));
	}
}

static struct proc served(pid_t pid)
{
	struct proc proc = world_proc(pid, "/opt/bot");

	proc.cgroup = "/system.slice/bot.service";
	return proc;
}

static const struct world_policy policies[] = {{.name = "bot", .exe = "/opt/bot"}};

Test(placement, a_service_is_watched_and_stays_where_it_is)
{
	struct world world;
	struct proc proc = served(100);
	const struct agent *agent;

	world_init(&world, policies, ELEMENTSOF(policies));
	world_exec(&world, &proc, 0);
	EXPECT(&world, "mark pace record");
	agent = state_agent_of(world.state, 0, 100);
	cr_assert_not_null(agent);
	cr_expect(agent->is_observed);
	cr_expect_str_eq(world_action(&world, ACTION_RECORD, 0)->incident.rule, "placement");
	world_exit(&world, 100, 0);
	cr_expect_eq(state_agent_count(world.state), 0);
	world_done(&world);
}

Test(placement, scope_moves_it_and_a_new_policy_lets_it_go)
{
	struct policy_set *set = world_make_set(policies, ELEMENTSOF(policies));
	struct proc proc = served(100);
	struct world world;

	world_init(&world, policies, ELEMENTSOF(policies));
	set->policies[0]->placement = POLICY_PLACEMENT_SCOPE;
	world_set_policies(&world, set);
	world_exec(&world, &proc, 0);
	cr_assert_eq(world_count(&world, ACTION_PLACE), 1);
	world_placed(&world, 0);
	cr_expect_eq(world_count(&world, ACTION_RELEASE), 0);
	world_set_policies(&world, world_make_set(policies, ELEMENTSOF(policies)));
	cr_expect_eq(world_count(&world, ACTION_RELEASE), 1);
	world_done(&world);
}
