/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <inttypes.h>

#include "base/unit.h"

struct unit_case {
	const char *text;
	int error;
	uint64_t value;
};

Test(unit, durations)
{
	static const struct unit_case cases[] = {
		{"0", 0, 0},
		{"30s", 0, 30 * NSEC_PER_SEC},
		{"250ms", 0, 250 * NSEC_PER_MSEC},
		{"5min", 0, 300 * NSEC_PER_SEC},
		{"1h 30min", 0, 5400 * NSEC_PER_SEC},
		{"1h30min", 0, 5400 * NSEC_PER_SEC},
		{"1.5s", 0, 1500 * NSEC_PER_MSEC},
		{"7d", 0, 7 * 86400 * NSEC_PER_SEC},
		{"7us", 0, 7000},
		{"3ns", 0, 3},
		{"", -EINVAL, 0},
		{"5", -EINVAL, 0},
		{"-1s", -EINVAL, 0},
		{"1m", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{" 1s", -EINVAL, 0},
		{"1s ", -EINVAL, 0},
		{"1. s", -EINVAL, 0},
		{"600000d", -ERANGE, 0},
		{"99999999999999999999s", -ERANGE, 0},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		uint64_t ns = 77;
		int r = unit_parse_duration(cases[i].text, &ns);

		cr_expect_eq(r, cases[i].error, "%s: %d", cases[i].text, r);
		cr_expect_eq(ns, r < 0 ? 77 : cases[i].value, "%s: %" PRIu64, cases[i].text, ns);
	}
}

Test(unit, sizes)
{
	static const struct unit_case cases[] = {
		{"0", 0, 0},
		{"512", 0, 512},
		{"64K", 0, 65536},
		{"400M", 0, UINT64_C(400) << 20},
		{"1.5G", 0, UINT64_C(1536) << 20},
		{"2T", 0, UINT64_C(2) << 40},
		{"25%", 0, 1000},
		{"12.5%", 0, 500},
		{"100%", 0, 4000},
		{"infinity", 0, UNIT_INFINITY},
		{"", -EINVAL, 0},
		{"400MB", -EINVAL, 0},
		{"400m", -EINVAL, 0},
		{"1.5", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"101%", -ERANGE, 0},
		{"100.1%", -ERANGE, 0},
		{"16777216T", -ERANGE, 0},
		{"18446744073709551615", -ERANGE, 0},
		{"18446744073709551616", -ERANGE, 0},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		uint64_t bytes = 77;
		int r = unit_parse_size(cases[i].text, 4000, &bytes);

		cr_expect_eq(r, cases[i].error, "%s: %d", cases[i].text, r);
		cr_expect_eq(bytes, r < 0 ? 77 : cases[i].value, "%s: %" PRIu64, cases[i].text, bytes);
	}
}

Test(unit, percents_counts_rates)
{
	uint64_t count = 0, per = 0;
	uint32_t pct = 0;

	cr_expect_eq(unit_parse_percent("150%", &pct), 0);
	cr_expect_eq(pct, 150);
	cr_expect_eq(unit_parse_percent("150", &pct), -EINVAL);
	cr_expect_eq(unit_parse_percent("1.5%", &pct), -EINVAL);
	cr_expect_eq(unit_parse_percent("0%", &pct), -ERANGE);
	cr_expect_eq(unit_parse_percent("100001%", &pct), -ERANGE);
	cr_expect_eq(unit_parse_count("512", &count), 0);
	cr_expect_eq(count, 512);
	cr_expect_eq(unit_parse_count("5.0", &count), -EINVAL);
	cr_expect_eq(unit_parse_count("+5", &count), -EINVAL);
	cr_expect_eq(unit_parse_rate("5/min", &count, &per), 0);
	cr_expect_eq(count, 5);
	cr_expect_eq(per, 60 * NSEC_PER_SEC);
	cr_expect_eq(unit_parse_rate("0/s", &count, &per), -ERANGE);
	cr_expect_eq(unit_parse_rate("5/", &count, &per), -EINVAL);
	cr_expect_eq(unit_parse_rate("5/ms", &count, &per), -EINVAL);
}

/* Every value that a formatter writes is read back as itself. */
Test(unit, round_trip)
{
	uint64_t random = 0x2545f4914f6cdd1d;
	char buffer[32];

	for (int i = 0; i < 200000; i++) {
		uint64_t value, back = 0;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		value = random >> (i % 64);
		if (value == UINT64_MAX)
			continue;
		unit_format_size(buffer, sizeof(buffer), value);
		cr_assert_eq(unit_parse_size(buffer, 0, &back), 0, "%s", buffer);
		cr_assert_eq(back, value, "%s", buffer);
		unit_format_duration(buffer, sizeof(buffer), value);
		cr_assert_eq(unit_parse_duration(buffer, &back), 0, "%s", buffer);
		cr_assert_eq(back, value, "%s", buffer);
	}
}

Test(unit, formats)
{
	char buffer[32];

	unit_format_duration(buffer, sizeof(buffer), 90 * NSEC_PER_SEC);
	cr_expect_str_eq(buffer, "90s");
	unit_format_size(buffer, sizeof(buffer), UINT64_C(400) << 20);
	cr_expect_str_eq(buffer, "400M");
	unit_format_size(buffer, sizeof(buffer), UNIT_INFINITY);
	cr_expect_str_eq(buffer, "infinity");
	unit_format_duration_rough(buffer, sizeof(buffer), 90 * NSEC_PER_SEC);
	cr_expect_str_eq(buffer, "1min 30s");
	unit_format_duration_rough(buffer, sizeof(buffer), 1500 * NSEC_PER_MSEC);
	cr_expect_str_eq(buffer, "1.5s");
	unit_format_size_rough(buffer, sizeof(buffer), (UINT64_C(1524) << 20) / 10);
	cr_expect_str_eq(buffer, "152.4M");
}
