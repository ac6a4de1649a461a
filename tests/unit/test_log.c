/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "base/log.h"

static void redirect(void)
{
	unsetenv("JOURNAL_STREAM");
	cr_redirect_stderr();
}

Test(log, control_characters_cannot_forge_a_line, .init = redirect)
{
	log_err("agent %s", "a\nready\x1b[31m");
	fflush(stderr);
	cr_assert_stderr_eq_str("agent a\\x0aready\\x1b[31m\n");
}

Test(log, levels, .init = redirect)
{
	enum log_level level;

	cr_assert_eq(log_level_parse("warning", &level), 0);
	log_level_set(level);
	log_info("no");
	log_warning("yes");
	fflush(stderr);
	cr_assert_stderr_eq_str("yes\n");
	cr_assert_eq(log_level_parse("loud", &level), -EINVAL);
}

Test(log, a_loop_is_cut_and_counted, .init = redirect)
{
	struct log_counts counts;

	/* Two whole seconds' worth, written in far less than a second. */
	for (int i = 0; i < 3 * LOG_RATE; i++)
		log_info("again");
	log_get_counts(&counts);
	cr_assert_geq(counts.dropped, LOG_RATE);
	cr_assert_leq(counts.emitted, 2 * LOG_RATE + 2);
}
