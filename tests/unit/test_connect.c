/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/text.h"
#include "world.h"

/* step(): pacing, storms, breakers and sockets. */

#define SERVER "192.0.2.1:443"

static const struct world_policy policies[] = {
	{.name = "bot", .exe = "/opt/bot"},
	{.name = "free", .exe = "/opt/free"},
	{.name = "watched", .exe = "/opt/watched", .observe = true},
};

/* bot and watched: 5/min, a breaker, 100 sockets, 10 new ones a second. free: nothing. */
static struct policy_set *make_set(uint64_t rate_count)
{
	struct policy_set *set = world_make_set(policies, ELEMENTSOF(policies));

	for (size_t i = 0; i < set->n; i++) {
		struct policy *policy = set->policies[i];

		if (streq(policy->name, "free"))
			continue;
		policy->connect = (struct policy_connect){.rate.count = rate_count,
							  .rate.per_ns = 60 * NSEC_PER_SEC,
							  .burst = 5,
							  .max_delay_ns = 30 * NSEC_PER_SEC};
		policy->breaker = (struct policy_breaker){.failures = 5,
							  .factor_milli = 2000,
							  .max_interval_ns = 60 * NSEC_PER_SEC,
							  .stable_after_ns = 30 * NSEC_PER_SEC};
		policy->sockets =
			(struct policy_sockets){.max = 100, .new_rate.count = 10, .new_rate.per_ns = NSEC_PER_SEC};
	}
	return set;
}

static void init(struct world *world)
{
	struct event end = {.kind = EVENT_CENSUS_END};

	world_init(world, policies, ELEMENTSOF(policies));
	world_set_policies(world, make_set(5));
	world_step(world, &end);
}

static uint64_t born(struct world *world, const char *exe)
{
	struct proc proc = world_proc(100, exe);

	proc.mark = 7;
	world_exec(world, &proc, 0);
	EXPECT(world, "place");
	world_placed(world, 0);
	EXPECT(world, "pace record");
	return world_action(world, ACTION_PACE, 0)->agent->handle;
}

static uint64_t observed(struct world *world)
{
	struct proc proc = world_proc(100, "/opt/watched");

	proc.mark = 7;
	world_exec(world, &proc, 0);
	EXPECT(world, "mark pace record");
	return world_action(world, ACTION_PACE, 0)->agent->handle;
}

static struct connect_view calm(uint64_t attempts)
{
	return (struct connect_view){.destination = SERVER, .attempts = attempts, .recent = 1, .rate_milli = 200};
}

static struct connect_view storming(uint64_t attempts)
{
	return (struct connect_view){.destination = SERVER,
				     .attempts = attempts,
				     .delayed = attempts / 2,
				     .failed = attempts / 4,
				     .recent = 50,
				     .rate_milli = 12500,
				     .failed_pct = 40,
				     .storm_ns = 1};
}

static struct connect_view broken(enum gov_breaker_state state, uint64_t interval_s)
{
	struct connect_view view = calm(20);

	view.breaker = state;
	view.breaker_interval_ns = interval_s * NSEC_PER_SEC;
	view.breaker_failures = 5;
	return view;
}

static void tell(struct world *world, uint64_t agent, const struct connect_view *view)
{
	struct event event = {.kind = EVENT_CONNECTS};

	event.connects.agent = agent;
	event.connects.view = *view;
	world_step(world, &event);
}

static void tell_end(struct world *world, uint64_t agent)
{
	struct event event = {.kind = EVENT_CONNECTS_END};

	event.connects_end.agent = agent;
	world_step(world, &event);
}

static void tick(struct world *world, uint64_t seconds)
{
	world_wait(world, seconds * NSEC_PER_SEC);
}

static const struct fact *fact(const struct world *world, const char *name)
{
	return world_fact(world_told(world), name);
}

static const char *fact_text(const struct world *world, const char *name)
{
	cr_assert_not_null(fact(world, name), "there is no evidence `%s`", name);
	return world_text(world_told(world), name);
}

static uint64_t number(const struct world *world, const char *name)
{
	return world_number(world_told(world), name);
}

struct words {
	const char *rule, *action, *result;
};

static void expect_incident(const struct world *world, enum incident_kind kind, struct words words)
{
	const struct action *action = world_action(world, ACTION_RECORD, 0);

	cr_assert_not_null(action, "nothing is recorded");
	cr_assert_eq(action->incident.kind, kind, "got kind %s", incident_kind_name(action->incident.kind));
	cr_assert_str_eq(action->incident.rule, words.rule);
	cr_assert_str_eq(action->incident.action, words.action);
	cr_assert_str_eq(action->incident.result, words.result);
}

/* ---- pacing ---- */

Test(connect, pacing_comes_before_the_hold_is_answered)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/bot");

	init(&world);
	world_hold(&world, &proc, 55);
	EXPECT(&world, "place");
	world_placed(&world, 0);
	EXPECT(&world, "pace hold-answer record");
	cr_assert_eq(world_action(&world, ACTION_PACE, 0)->agent->cgroup_id, 1001);
	world_done(&world);
}

Test(connect, what_cannot_be_placed_is_not_paced)
{
	struct world world;
	struct proc proc = world_proc(100, "/opt/bot");

	init(&world);
	world_hold(&world, &proc, 55);
	world_placed(&world, EPERM);
	cr_assert_eq(world_count(&world, ACTION_PACE), 0);
	world_done(&world);
}

Test(connect, agent_of_an_earlier_govd_is_paced)
{
	struct world world;
	struct agent saved = {.id = "12345678", .root_pid = 100, .root_start_ticks = 1000, .cgroup_id = 55};
	struct event event = {.kind = EVENT_FOUND};

	init(&world);
	event.found.agent = &saved;
	event.found.policy = "bot";
	event.found.is_populated = event.found.root_lives = true;
	world_step(&world, &event);
	cr_assert_eq(world_count(&world, ACTION_PACE), 1);
	/* What no file tells of any more stays as it is. */
	text_copy(saved.id, sizeof(saved.id), "12345679");
	saved.cgroup_id = 56;
	saved.root_pid = 101;
	event.found.policy = "nobody";
	world_step(&world, &event);
	cr_assert_eq(world_count(&world, ACTION_PACE), 0);
	world_done(&world);
}

Test(connect, reload_paces_again_only_what_changed)
{
	struct world world;
	struct policy_set *set;

	init(&world);
	born(&world, "/opt/bot");
	world_set_policies(&world, make_set(5));
	cr_assert_eq(world_count(&world, ACTION_PACE), 0);
	world_set_policies(&world, make_set(10));
	cr_assert_eq(world_count(&world, ACTION_PACE), 1);
	set = make_set(10);
	set->policies[0]->breaker.failures = 0;
	world_set_policies(&world, set);
	cr_assert_eq(world_count(&world, ACTION_PACE), 1);
	set = make_set(10);
	set->policies[0]->breaker.failures = 0;
	set->policies[0]->sockets.new_rate.count = 20;
	world_set_policies(&world, set);
	cr_assert_eq(world_count(&world, ACTION_PACE), 1);
	world_done(&world);
}

Test(connect, reload_paces_observed_agents_too)
{
	struct world world;

	init(&world);
	observed(&world);
	world_set_policies(&world, make_set(10));
	cr_assert_eq(world_count(&world, ACTION_PACE), 1);
	cr_assert_eq(world_action(&world, ACTION_PACE, 0)->agent->policy->connect.rate.count, 10);
	world_done(&world);
}

Test(connect, release_unpaces)
{
	struct world world;
	struct event event = {.kind = EVENT_RESULT};
	uint64_t bot;

	init(&world);
	bot = born(&world, "/opt/bot");
	world_command(&world, COMMAND_RELEASE, bot);
	cr_assert_eq(world_count(&world, ACTION_UNPACE), 0);
	event.result.action = ACTION_RELEASE;
	event.result.agent = bot;
	world_step(&world, &event);
	cr_assert_eq(world_count(&world, ACTION_UNPACE), 1);
	cr_assert_eq(world_action(&world, ACTION_UNPACE, 0)->agent->cgroup_id, 1000 + bot);
	world_done(&world);
}

Test(connect, release_of_an_observed_agent_unpaces)
{
	struct world world;
	uint64_t agent;

	init(&world);
	agent = observed(&world);
	world_command(&world, COMMAND_RELEASE, agent);
	cr_assert_eq(world_count(&world, ACTION_UNPACE), 1);
	world_done(&world);
}

/* ---- storms ---- */

Test(connect, storm_begins_and_ends)
{
	struct world world;
	struct connect_view view = storming(1000);
	uint64_t bot;

	init(&world);
	bot = born(&world, "/opt/bot");
	tell(&world, bot, &view);
	EXPECT(&world, "record timer");
	expect_incident(&world, INCIDENT_STORM, (struct words){"connect", "delay", "begun"});
	cr_assert_str_eq(fact_text(&world, "destination"), SERVER);
	cr_assert_eq(number(&world, "attempts"), 50); /* of the storm, not of before */
	cr_assert_eq(number(&world, "rate_per_s"), 12500);
	cr_assert(fact(&world, "rate_per_s")->is_milli);
	cr_assert_eq(number(&world, "failed_pct"), 40);
	cr_assert_eq(number(&world, "delayed"), 50);
	cr_assert_null(fact(&world, "untold"));
	cr_assert_gt(world_action(&world, ACTION_TIMER, 0)->time_ns, world.now_ns);
	cr_assert_leq(world_action(&world, ACTION_TIMER, 0)->time_ns, world.now_ns + 5 * NSEC_PER_SEC);
	tick(&world, 5);
	EXPECT(&world, "look timer");
	view = storming(1400);
	tell(&world, bot, &view);
	EXPECT(&world, "timer");
	tell_end(&world, bot);
	EXPECT(&world, "");
	tick(&world, 5);
	EXPECT(&world, "look timer");
	view = calm(1500);
	view.failed = 350;
	view.delayed = 700;
	tell(&world, bot, &view);
	EXPECT(&world, "record");
	expect_incident(&world, INCIDENT_STORM, (struct words){"connect", "delay", "over"});
	cr_assert_eq(number(&world, "attempts"), 550);
	cr_assert_eq(number(&world, "delayed"), 250);
	cr_assert_eq(number(&world, "failed_pct"), 150 * 100 / 550);
	cr_assert_geq(number(&world, "duration_s"), 10000);
	cr_assert_lt(number(&world, "duration_s"), 11000);
	tell_end(&world, bot);
	EXPECT(&world, "");
	tick(&world, 5); /* nothing is looked at any more */
	EXPECT(&world, "timer");
	cr_assert_eq(world_action(&world, ACTION_TIMER, 0)->time_ns, UINT64_MAX);
	world_done(&world);
}

Test(connect, storm_whose_entry_is_gone_is_over)
{
	struct world world;
	struct connect_view view = storming(50);
	uint64_t bot;

	init(&world);
	bot = born(&world, "/opt/bot");
	tell(&world, bot, &view);
	tick(&world, 5);
	EXPECT(&world, "look timer");
	tell_end(&world, bot);
	EXPECT(&world, "record");
	expect_incident(&world, INCIDENT_STORM, (struct words){"connect", "delay", "over"});
	cr_assert_eq(number(&world, "attempts"), 50);
	world_done(&world);
}

Test(connect, calm_destinations_are_nothing)
{
	struct world world;
	struct connect_view view = calm(10);
	uint64_t bot;

	init(&world);
	bot = born(&world, "/opt/bot");
	tell(&world, bot, &view);
	EXPECT(&world, "");
	tell_end(&world, bot);
	EXPECT(&world, "");
	tell(&world, 999, &view);
	EXPECT(&world, "");
	tell_end(&world, 999);
	EXPECT(&world, "");
	world_done(&world);
}

Test(connect, storm_says_what_is_done_about_it)
{
	struct world world;
	struct connect_view view = storming(50);
	uint64_t agent;

	init(&world);
	agent = born(&world, "/opt/free");
	tell(&world, agent, &view);
	expect_incident(&world, INCIDENT_STORM, (struct words){"storm", "none", "begun"});
	world_done(&world);
	init(&world);
	agent = observed(&world);
	tell(&world, agent, &view);
	expect_incident(&world, INCIDENT_STORM, (struct words){"connect", "would-delay", "begun"});
	world_done(&world);
}

/* Storms of 5 s, every 10 s, for 5 minutes. */
Test(connect, repeated_storms_do_not_flood)
{
	struct world world;
	uint64_t bot, begun = 0, over = 0, counted = 0;

	init(&world);
	bot = born(&world, "/opt/bot");
	for (uint64_t i = 1; i <= 30; i++) {
		struct connect_view storm = storming(100 * i), rest = calm(100 * i + 50);

		tell(&world, bot, &storm);
		if (world_count(&world, ACTION_RECORD)) {
			begun++;
			counted += 1 + (fact(&world, "untold") ? number(&world, "untold") : 0);
		}
		tick(&world, 5);
		tell(&world, bot, &rest);
		over += world_count(&world, ACTION_RECORD);
		tell_end(&world, bot);
		tick(&world, 5);
	}
	cr_assert_geq(begun, 4U);
	cr_assert_leq(begun, 6U);
	cr_assert_eq(over, begun, "each begin that is recorded has its end");
	cr_assert_geq(counted, 24U, "those that were not recorded are counted");
	world_done(&world);
}

Test(connect, storm_that_came_too_soon_is_told_when_it_lasts)
{
	struct world world;
	struct connect_view view = storming(50), rest = calm(60);
	uint64_t bot, told = 0;

	init(&world);
	bot = born(&world, "/opt/bot");
	tell(&world, bot, &view);
	tick(&world, 5);
	tell(&world, bot, &rest);
	tell(&world, bot, &view);
	cr_assert_eq(world_count(&world, ACTION_RECORD), 0);
	for (unsigned i = 0; i < 14; i++) {
		tick(&world, 5);
		cr_assert_eq(world_count(&world, ACTION_LOOK), 1);
		tell(&world, bot, &view);
		told += world_count(&world, ACTION_RECORD);
		tell_end(&world, bot);
	}
	cr_assert_eq(told, 1U);
	world_done(&world);
}

Test(connect, more_destinations_than_are_followed)
{
	struct world world;
	size_t storms = 0, alerts = 0;
	uint64_t bot;

	init(&world);
	bot = born(&world, "/opt/bot");
	for (unsigned i = 0; i < 200; i++) {
		struct connect_view view = storming(50);
		const struct action *record;

		snprintf(view.destination, sizeof(view.destination), "192.0.2.%u:443", i);
		tell(&world, bot, &view);
		record = world_action(&world, ACTION_RECORD, 0);
		storms += record && record->incident.kind == INCIDENT_STORM;
		alerts += record && record->incident.kind == INCIDENT_ALERT;
	}
	cr_assert_eq(storms, 8);
	cr_assert_eq(alerts, 1);
	/* Once they are over and a minute has gone by, others have their turn. */
	tick(&world, 60);
	tell_end(&world, bot);
	cr_assert_eq(world_count(&world, ACTION_RECORD), 8);
	struct connect_view view = storming(50);
	text_copy(view.destination, sizeof(view.destination), "198.51.100.1:80");
	tell(&world, bot, &view);
	expect_incident(&world, INCIDENT_STORM, (struct words){"connect", "delay", "begun"});
	world_done(&world);
}

Test(connect, looks_do_not_disturb_the_deadline_of_a_stop)
{
	struct world world;
	struct connect_view view = storming(50);
	uint64_t bot;

	init(&world);
	bot = born(&world, "/opt/bot");
	tell(&world, bot, &view);
	world_command(&world, COMMAND_STOP, bot);
	cr_assert_eq(world_count(&world, ACTION_TIMER), 0, "the look comes first");
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(world_count(&world, ACTION_KILL), 0);
		tick(&world, 4);
		tell(&world, bot, &view);
	}
	tick(&world, 3);
	cr_assert_eq(world_count(&world, ACTION_KILL), 1);
	world_done(&world);
}

/* ---- breakers ---- */

Test(connect, breaker_opens_probes_and_closes)
{
	struct world world;
	struct connect_view view = broken(GOV_BREAKER_OPEN, 12);
	uint64_t bot;

	init(&world);
	bot = born(&world, "/opt/bot");
	tell(&world, bot, &view);
	EXPECT(&world, "record timer");
	expect_incident(&world, INCIDENT_BREAKER, (struct words){"breaker", "delay", "open"});
	cr_assert_eq(number(&world, "attempts"), 20);
	cr_assert_eq(number(&world, "failures"), 5);
	cr_assert_eq(number(&world, "interval_s"), 12000);
	view = broken(GOV_BREAKER_HALF_OPEN, 12);
	tell(&world, bot, &view);
	expect_incident(&world, INCIDENT_BREAKER, (struct words){"breaker", "delay", "half-open"});
	/* The probe has failed, and the next ones, too: it only grows. */
	for (uint64_t i = 24; i < 100; i += 12) {
		view = broken(GOV_BREAKER_OPEN, i);
		tell(&world, bot, &view);
		cr_assert_eq(world_count(&world, ACTION_RECORD), 0);
		view = broken(GOV_BREAKER_HALF_OPEN, i);
		tell(&world, bot, &view);
		cr_assert_eq(world_count(&world, ACTION_RECORD), 0);
	}
	tick(&world, 30);
	cr_assert_eq(world_count(&world, ACTION_LOOK), 1);
	view = broken(GOV_BREAKER_CLOSED, 0);
	tell(&world, bot, &view);
	EXPECT(&world, "record");
	expect_incident(&world, INCIDENT_BREAKER, (struct words){"breaker", "delay", "closed"});
	cr_assert_geq(number(&world, "duration_s"), 30000);
	tell_end(&world, bot);
	EXPECT(&world, "");
	world_done(&world);
}

Test(connect, flapping_breaker_does_not_flood)
{
	struct world world;
	size_t records = 0;
	uint64_t bot;

	init(&world);
	bot = born(&world, "/opt/bot");
	for (unsigned i = 0; i < 60; i++) {
		struct connect_view open = broken(GOV_BREAKER_OPEN, 1), closed = broken(GOV_BREAKER_CLOSED, 0);

		tell(&world, bot, &open);
		records += world_count(&world, ACTION_RECORD);
		tell(&world, bot, &closed);
		records += world_count(&world, ACTION_RECORD);
		world.now_ns += NSEC_PER_SEC;
	}
	cr_assert_leq(records, 4U);
	cr_assert_geq(records, 2U);
	world_done(&world);
}

/* ---- sockets ---- */

static void tell_sockets(struct world *world, uint64_t agent, uint64_t open)
{
	struct event event = {.kind = EVENT_SOCKETS};

	event.sockets.agent = agent;
	event.sockets.view = (struct socket_view){
		.open = open, .close_wait = 3, .unread_sockets = 2, .top = SERVER, .top_open = open / 2};
	world_step(world, &event);
}

Test(connect, too_many_sockets_are_told_once)
{
	struct world world;
	uint64_t bot;

	init(&world);
	bot = born(&world, "/opt/bot");
	tell_sockets(&world, bot, 100);
	EXPECT(&world, "");
	tell_sockets(&world, bot, 102);
	EXPECT(&world, "record");
	expect_incident(&world, INCIDENT_SOCKETS, (struct words){"sockets.max", "alert", "done"});
	cr_assert_eq(number(&world, "open"), 102);
	cr_assert_eq(number(&world, "max"), 100);
	cr_assert_eq(number(&world, "destination_pct"), 50);
	cr_assert_eq(number(&world, "unread"), 2);
	cr_assert_eq(number(&world, "close_wait"), 3);
	cr_assert_str_eq(fact_text(&world, "destination"), SERVER);
	world.now_ns += 120 * NSEC_PER_SEC;
	tell_sockets(&world, bot, 200);
	EXPECT(&world, "");
	tell_sockets(&world, bot, 95); /* not below 90 % */
	tell_sockets(&world, bot, 101);
	EXPECT(&world, "");
	tell_sockets(&world, bot, 89);
	EXPECT(&world, "");
	tell_sockets(&world, bot, 101);
	EXPECT(&world, "record");
	world_done(&world);
}

Test(connect, sockets_without_a_limit_are_no_matter)
{
	struct world world;
	uint64_t agent;

	init(&world);
	agent = born(&world, "/opt/free");
	tell_sockets(&world, agent, 1000000);
	EXPECT(&world, "");
	world_done(&world);
}

Test(connect, new_connections_beyond_the_rate_are_told_once)
{
	struct world world;
	struct connect_view view = calm(100);
	uint64_t bot;

	init(&world);
	bot = born(&world, "/opt/bot");
	view.rate_milli = 11000;
	view.is_over_new_rate = true;
	tell(&world, bot, &view);
	EXPECT(&world, "record timer");
	expect_incident(&world, INCIDENT_SOCKETS, (struct words){"sockets.new_rate", "alert", "done"});
	cr_assert_eq(number(&world, "rate_per_s"), 11000);
	cr_assert_eq(number(&world, "max_per_s"), 10000);
	tick(&world, 5);
	EXPECT(&world, "look timer");
	view.is_over_new_rate = false;
	view.rate_milli = 9500; /* not below 90 % */
	tell(&world, bot, &view);
	tick(&world, 65);
	view.is_over_new_rate = true;
	tell(&world, bot, &view);
	cr_assert_eq(world_count(&world, ACTION_RECORD), 0);
	view.is_over_new_rate = false;
	view.rate_milli = 8000;
	tell(&world, bot, &view);
	EXPECT(&world, "");
	view.is_over_new_rate = true;
	tell(&world, bot, &view);
	cr_assert_eq(world_count(&world, ACTION_RECORD), 1);
	world_done(&world);
}

/* ---- strangers ---- */

static void tell_stranger(struct world *world, pid_t pid)
{
	struct event event = {.kind = EVENT_CONNECTS};

	event.connects.pid = pid;
	event.connects.exe = "/usr/bin/curl";
	event.connects.view = storming(60);
	world_step(world, &event);
}

Test(connect, storm_of_a_stranger_is_told)
{
	struct world world;

	init(&world);
	tell_stranger(&world, 500);
	EXPECT(&world, "record");
	expect_incident(&world, INCIDENT_STORM, (struct words){"watch_strangers", "none", "begun"});
	cr_assert_str_eq(world_action(&world, ACTION_RECORD, 0)->incident.agent, "");
	cr_assert_eq(number(&world, "pid"), 500);
	cr_assert_str_eq(fact_text(&world, "exe"), "/usr/bin/curl");
	cr_assert_str_eq(fact_text(&world, "destination"), SERVER);
	tell_stranger(&world, 500);
	EXPECT(&world, "");
	world.now_ns += 60 * NSEC_PER_SEC;
	tell_stranger(&world, 500);
	EXPECT(&world, "record");
	cr_assert_eq(number(&world, "untold"), 1);
	world_done(&world);
}

Test(connect, many_strangers_do_not_flood)
{
	struct world world;
	size_t records = 0;

	init(&world);
	for (pid_t round = 0; round < 10; round++)
		for (pid_t pid = 500; pid < 600; pid++) {
			tell_stranger(&world, pid);
			records += world_count(&world, ACTION_RECORD);
		}
	cr_assert_eq(records, 32);
	world.now_ns += 60 * NSEC_PER_SEC;
	tell_stranger(&world, 700);
	EXPECT(&world, "record");
	cr_assert_gt(number(&world, "missed"), 0);
	world_done(&world);
}
