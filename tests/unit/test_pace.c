/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "pace_model.h"
#include "random.h"

#define MS NSEC_PER_MSEC
#define SEC NSEC_PER_SEC

/* How often each act comes, in a history of a kind. */
struct habit {
	const char *name;
	unsigned weights[PACE_ACTS];
};

static const struct habit habits[] = {
	{"comes and leaves", {[PACE_ARRIVE] = 10, [PACE_WAIT] = 5}},
	{"abandons", {[PACE_ARRIVE] = 10, [PACE_ABANDON] = 8, [PACE_WAIT] = 4}},
	{"abandons all but the last", {[PACE_ARRIVE] = 20, [PACE_ABANDON_ALL] = 2, [PACE_WAIT] = 3}},
	{"changes its rate", {[PACE_ARRIVE] = 10, [PACE_ABANDON] = 6, [PACE_WAIT] = 3, [PACE_RATE] = 2}},
	{"is dropped", {[PACE_ARRIVE] = 10, [PACE_ABANDON] = 3, [PACE_WAIT] = 6, [PACE_FAIL] = 10}},
	{"all", {8, 3, 1, 4, 1, 6, 4, 3, 2, 1}},
};

static const uint64_t intervals_ns[] = {0, 1, 999, 7 * MS, 200 * MS, SEC, 12 * SEC, 100 * SEC};

static uint64_t some_wait(uint64_t interval_ns)
{
	switch (next_random() % 6) {
	case 0:
		return 0; /* the clock stands still */
	case 1:
		return next_random() % 1000;
	case 2:
		return interval_ns;
	case 3:
		return next_random() % (interval_ns + 1);
	case 4:
		return next_random() % (3 * interval_ns + 1);
	default:
		return next_random() % (10 * SEC);
	}
}

static void play(const struct habit *habit, struct pace_model *model)
{
	unsigned sum = 0;

	for (size_t i = 0; i < PACE_ACTS; i++)
		sum += habit->weights[i];
	for (int step = 0; step < 400; step++) {
		uint64_t random = next_random(), pick = next_random() % sum;
		const char *wrong;
		size_t act = 0;

		while (pick >= habit->weights[act])
			pick -= habit->weights[act++];
		if (act == PACE_RATE)
			pace_model_rate(model, intervals_ns[random % ELEMENTSOF(intervals_ns)], 1 + random / 16 % 6);
		if (act == PACE_WAIT)
			random = some_wait(model->rate.interval_ns);
		wrong = pace_model_act(model, (enum pace_act)act, random);
		cr_assert_null(wrong, "%s: one %s, at step %d", habit->name, wrong, step);
	}
}

static void play_from(uint64_t begin_ns, uint64_t n)
{
	for (seed = 1; seed <= n; seed++) {
		uint64_t kept = seed;

		for (size_t i = 0; i < ELEMENTSOF(habits); i++) {
			struct pace_model model;
			const char *wrong;

			pace_model_init(&model, begin_ns, intervals_ns[next_random() % ELEMENTSOF(intervals_ns)],
					1 + next_random() % 8);
			play(&habits[i], &model);
			wrong = pace_model_check_windows(&model);
			cr_assert_null(wrong, "%s, seed %lu: %s", habits[i].name, (unsigned long)kept, wrong);
		}
		seed = kept;
	}
}

TestSuite(pace, .timeout = 60);

Test(pace, whatever_comes_no_window_has_more_than_its_share)
{
	play_from(1000 * SEC, 250);
}

Test(pace, times_about_2_to_the_62_and_63_do_not_wrap)
{
	play_from((UINT64_C(1) << 62) - (UINT64_C(1) << 58) - 60 * SEC, 25);
	play_from((UINT64_C(1) << 62) - 60 * SEC, 25);
	play_from((UINT64_C(1) << 62) + 60 * SEC, 10);
	play_from((UINT64_C(1) << 63) - 60 * SEC, 10);
	play_from((UINT64_C(1) << 63) + 60 * SEC, 10);
	play_from(0, 25);
}

static uint64_t count_left(const struct pace_model *model)
{
	uint64_t n = 0;

	for (size_t i = 0; i < model->n; i++)
		n += pace_owner_left(model, &model->owners[i]);
	return n;
}

/* Nothing of the rate is lost: a loop that connects as soon as it may gets all of it, and the burst once. */
Test(pace, a_loop_gets_its_whole_rate)
{
	struct pace_model model;

	pace_model_init(&model, SEC, 200 * MS, 5);
	for (uint64_t end_ns = SEC + 60 * SEC; model.now_ns < end_ns; model.now_ns += MS) {
		/* One at a time. */
		if (count_left(&model) == model.n)
			cr_assert_null(pace_model_arrive(&model, 0));
	}
	cr_expect_eq(count_left(&model), 5 + 60 * 5);

	/* Nobody came for a while: the burst is there again, and no more. */
	model.now_ns += 600 * SEC;
	for (int i = 0; i < 20; i++)
		cr_assert_null(pace_model_arrive(&model, 0));
	cr_expect_eq(count_left(&model), 5 + 60 * 5 + 5);
}

/* Its slots would have been before time 0. */
Test(pace, the_burst_is_whole_soon_after_boot)
{
	struct pace_model model;

	pace_model_init(&model, SEC, 12 * SEC, 5);
	for (int i = 0; i < 20; i++)
		cr_assert_null(pace_model_arrive(&model, 0));
	cr_expect_eq(count_left(&model), 5);
	/* One of them was used at boot + 1 s, the next slot comes an interval later. */
	model.now_ns += 12 * SEC;
	cr_expect_eq(count_left(&model), 6);
}

/* What is given back in the order of timeouts or in the other is there for the next. */
Test(pace, a_slot_given_back_comes_back)
{
	struct pace_model model;

	for (int order = 0; order < 2; order++) {
		pace_model_init(&model, SEC, SEC, 1);
		for (int round = 0; round < 20; round++) {
			for (size_t i = 0; i < 5; i++)
				cr_assert_null(pace_model_arrive(&model, 0));
			/* One of them leaves at once, the others are due one a second. */
			cr_assert_eq(model.owners[model.n - 1].depart_ns - model.now_ns, 4 * SEC);
			for (size_t i = 0; i < 4; i++)
				pace_model_refund(&model, &model.owners[order ? model.n - 4 + i : model.n - 1 - i]);
			model.now_ns += SEC;
		}
		cr_expect_eq(count_left(&model), 20);
		cr_expect_null(pace_model_check_windows(&model));
	}
}

/* Timeouts run out in the order of the connects, but for those that different processors run at the same time. */
static size_t nth_to_give_up(int order, size_t i, size_t n)
{
	if (order == 0)
		return i;
	if (order == 1)
		return n - 1 - i;
	return (i ^ 1) < n ? i ^ 1 : i;
}

/* 50 who wait 3 s each and come back at once, where one a second may leave. */
Test(pace, a_herd_that_gives_up_together_loses_nothing)
{
	for (int order = 0; order < 3; order++) {
		struct pace_model model;

		pace_model_init(&model, 100 * SEC, SEC, 1);
		for (int round = 0; round < 10; round++) {
			size_t begin = model.n, n;

			for (int i = 0; i < 50; i++)
				cr_assert_null(pace_model_arrive(&model, 0));
			model.now_ns += 3 * SEC;
			while (pace_owner_left(&model, &model.owners[begin]))
				begin++;
			n = model.n - begin;
			for (size_t i = 0; i < n; i++)
				pace_model_refund(&model, &model.owners[begin + nth_to_give_up(order, i, n)]);
		}
		cr_expect_eq(count_left(&model), 1 + 30, "order %d: %lu", order, (unsigned long)count_left(&model));
		cr_expect_null(pace_model_check_windows(&model));
	}
}

/* The first ones of a run are over, the others aren't. */
Test(pace, of_a_run_given_back_what_is_not_over_is_used)
{
	struct pace_model model;

	pace_model_init(&model, 100 * SEC, SEC, 1);
	for (int i = 0; i < 12; i++)
		cr_assert_null(pace_model_arrive(&model, 0));
	for (size_t i = 2; i < 10; i++)
		pace_model_refund(&model, &model.owners[i]);
	model.now_ns += 5 * SEC + SEC / 2;
	for (uint64_t i = 0; i < 4; i++) {
		cr_assert_null(pace_model_arrive(&model, 0));
		cr_expect_eq(model.owners[model.n - 1].depart_ns, (106 + i) * SEC);
	}
	/* The next is behind those who have waited all the time. */
	cr_assert_null(pace_model_arrive(&model, 0));
	cr_expect_eq(model.owners[model.n - 1].depart_ns, 112 * SEC);
	cr_expect_null(pace_model_check_windows(&model));
}

/* The slot before another that is still waited for isn't the last one, though at the new rate it looks like it. */
Test(pace, a_new_rate_gives_no_slot_twice)
{
	struct pace_model model;

	pace_model_init(&model, 100 * SEC, 10 * SEC, 1);
	for (int i = 0; i < 4; i++)
		cr_assert_null(pace_model_arrive(&model, 0));
	pace_model_rate(&model, 20 * SEC, 1);
	pace_model_refund(&model, &model.owners[2]);
	pace_model_rate(&model, 10 * SEC, 1);
	for (int i = 0; i < 4; i++)
		cr_assert_null(pace_model_arrive(&model, 0));
	cr_expect_null(pace_model_check_windows(&model));
}

/* Slots at 100, 101, 102 s of one interval, 103 and maybe 105 s of another: 101 and 103 are an interval apart, but not
 * next to each other. */
static void two_intervals(struct pace_model *model, bool has_fifth)
{
	pace_model_init(model, 100 * SEC, SEC, 1);
	for (int i = 0; i < 3; i++)
		cr_assert_null(pace_model_arrive(model, 0));
	pace_model_rate(model, 2 * SEC, 1);
	for (int i = 0; i < 1 + has_fifth; i++)
		cr_assert_null(pace_model_arrive(model, 0));
}

Test(pace, slots_of_two_intervals_are_no_run)
{
	struct pace_model model;

	/* 103 s is the last: it is still to come, 101 s isn't, as somebody has 102 s. */
	two_intervals(&model, false);
	pace_model_refund(&model, &model.owners[1]);
	pace_model_refund(&model, &model.owners[3]);
	pace_model_rate(&model, SEC, 1);
	for (int i = 0; i < 4; i++)
		cr_assert_null(pace_model_arrive(&model, 0));
	cr_expect_null(pace_model_check_windows(&model));

	two_intervals(&model, true);
	pace_model_refund(&model, &model.owners[2]);
	pace_model_refund(&model, &model.owners[1]);
	pace_model_refund(&model, &model.owners[3]);
	model.now_ns += SEC + SEC / 2;
	for (uint64_t i = 0; i < 2; i++) {
		cr_assert_null(pace_model_arrive(&model, 0));
		cr_expect_eq(model.owners[5 + i].depart_ns, (102 + i) * SEC);
	}
	cr_expect_null(pace_model_check_windows(&model));
}

/* Those who come after a change wait for those who came before it, but not for a burst that is no more. */
Test(pace, a_new_burst_moves_nobody)
{
	struct pace_model model;

	pace_model_init(&model, 1000 * SEC, SEC, 30);
	for (int i = 0; i < 31; i++)
		cr_assert_null(pace_model_arrive(&model, 0));
	cr_expect_eq(model.owners[30].depart_ns, model.now_ns + SEC);
	pace_model_rate(&model, SEC / 20, 1);
	for (int i = 0; i < 3; i++) {
		cr_assert_null(pace_model_arrive(&model, 0));
		cr_expect_eq(model.owners[31 + i].depart_ns, model.now_ns + 2 * SEC + (uint64_t)i * SEC / 20);
	}
	pace_model_rate(&model, SEC, 30);
	cr_assert_null(pace_model_arrive(&model, 0));
	cr_expect_geq(model.owners[34].depart_ns, model.owners[33].depart_ns + SEC / 20);
}

/* What was given out before and comes back later isn't given out before that time either. */
Test(pace, nobody_leaves_before_the_time_that_all_are_put_off_to)
{
	struct pace_model model;
	struct gov_pace_slot slot;

	pace_model_init(&model, 100 * SEC, SEC, 1);
	for (int i = 0; i < 6; i++)
		cr_assert_null(pace_model_arrive(&model, 0));
	pace_model_refund(&model, &model.owners[1]);
	gov_pace_push(&model.pace, 130 * SEC);
	for (size_t i = 2; i < 6; i++)
		pace_model_refund(&model, &model.owners[i]);
	slot = gov_pace_peek(&model.pace, &model.rate, model.now_ns);
	cr_expect_eq(slot.depart_ns, 130 * SEC);
}

Test(pace, without_a_limit_all_leave_at_once)
{
	struct gov_pace_rate none = {0};
	struct gov_pace pace = {0};

	for (int i = 0; i < 10; i++) {
		struct gov_pace_slot slot = gov_pace_peek(&pace, &none, 5 * SEC);

		gov_pace_take(&pace, &none, slot.slot);
		cr_assert_eq(slot.depart_ns, 5 * SEC);
	}
}
