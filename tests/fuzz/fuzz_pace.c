/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "../unit/pace_model.h"

/* Any bytes are a history of those who connect, abandon, wait and fail; what must hold is in the model. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t begins_ns[] = {0, 1000 * NSEC_PER_SEC, (UINT64_C(1) << 62) - 60 * NSEC_PER_SEC,
				     (UINT64_C(1) << 63) - 60 * NSEC_PER_SEC};
static const uint64_t intervals_ns[] = {0, 1, 200 * NSEC_PER_MSEC, NSEC_PER_SEC, 12 * NSEC_PER_SEC, 100 * NSEC_PER_SEC};

/* An act is three bytes: which, and a number with an exponent. */
static uint64_t number_of(const uint8_t *bytes)
{
	return (uint64_t)bytes[1] << (bytes[2] % 30);
}

static void check(const char *wrong)
{
	if (!wrong)
		return;
	fprintf(stderr, "%s\n", wrong);
	abort();
}

static void check_timers(uint64_t delay_ns, uint32_t usual)
{
	uint32_t retries = gov_syn_retries(delay_ns, usual), ticks = gov_wheel_ticks(delay_ns, usual);

	if (retries < 1 || retries > 127 || ticks < 1 || ticks > INT32_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pace_model model;

	if (size < 3)
		return 0;
	pace_model_init(&model, begins_ns[data[0] % ELEMENTSOF(begins_ns)],
			intervals_ns[data[1] % ELEMENTSOF(intervals_ns)], 1 + data[2] % 8U);
	for (size_t i = 3; i + 3 <= size; i += 3) {
		enum pace_act act = (enum pace_act)(data[i] % PACE_ACTS);
		uint64_t number = number_of(&data[i]);

		if (act == PACE_RATE)
			pace_model_rate(&model, intervals_ns[data[i + 1] % ELEMENTSOF(intervals_ns)],
					1 + data[i + 2] % 8U);
		check(pace_model_act(&model, act, number));
		check_timers(number << data[i] % 32, data[i + 1]);
	}
	check(pace_model_check_windows(&model));
	return 0;
}
