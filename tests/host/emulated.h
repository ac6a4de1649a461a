/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_EMULATED_H
#define GOV_TESTS_EMULATED_H

#include <criterion/criterion.h>
#include <stdlib.h>

/* For tests of times or of what many processes do in a time: an emulated machine (tests/vm) is 10 to 40 times slower.
 */
#define NEEDS_REAL_SPEED                                                                                               \
	do {                                                                                                           \
		if (getenv("GOVD_TEST_EMULATED"))                                                                      \
			cr_skip_test("this emulated machine is too slow for the times that it tests");                 \
	} while (0)

#endif
