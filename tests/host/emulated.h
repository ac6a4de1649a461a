/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_EMULATED_H
#define GOV_TESTS_EMULATED_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>

/* In a guest of tests/vm: its clock goes by instructions, and its processors are those of a slow machine. */
static inline bool is_emulated(void)
{
	return getenv("GOVD_TEST_EMULATED") != NULL;
}

/* For tests of what many processes do in a time. */
#define NEEDS_REAL_SPEED                                                                                               \
	do {                                                                                                           \
		if (is_emulated())                                                                                     \
			cr_skip_test("this emulated machine is too slow for what it does in a time");                  \
	} while (0)

#endif
