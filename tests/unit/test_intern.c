/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/intern.h"

Test(intern, equal_texts_are_one)
{
	struct intern intern = {0};
	char copy[] = "/usr/bin/python3";
	const char *one = intern_get(&intern, "/usr/bin/python3", 256), *two = intern_get(&intern, copy, 256);
	const char *other = intern_get(&intern, "/usr/bin/python", 256);

	cr_expect_eq(one, two);
	cr_expect_neq(one, (const char *)copy);
	cr_expect_str_eq(one, copy);
	cr_expect_str_eq(other, "/usr/bin/python");
	cr_expect_eq(intern_count(&intern), 2);
	intern_put(&intern, one);
	cr_expect_str_eq(two, copy);
	cr_expect_eq(intern_count(&intern), 2);
	intern_put(&intern, two);
	cr_expect_eq(intern_count(&intern), 1);
	intern_put(&intern, other);
	cr_expect_eq(intern_count(&intern), 0);
	intern_done(&intern);
}

Test(intern, nothing_is_no_text_and_long_ones_are_cut)
{
	struct intern intern = {0};
	const char *cut;

	cr_expect_str_eq(intern_get(&intern, "", 256), "");
	cr_expect_str_eq(intern_get(&intern, NULL, 256), "");
	intern_put(&intern, "");
	intern_put(&intern, NULL);
	cut = intern_get(&intern, "/opt/agents", 4);
	cr_expect_str_eq(cut, "/opt");
	cr_expect_eq(cut, intern_get(&intern, "/opt/bots", 4));
	cr_expect_eq(intern_count(&intern), 1);
	/* What is still there is freed with it. */
	intern_done(&intern);
}

Test(intern, what_is_looked_for_isnt_kept_by_that)
{
	struct intern intern = {0};
	const char *kept = intern_get(&intern, "/opt/agents", 256);

	cr_expect_eq(intern_find(&intern, "/opt/agents", 256), kept);
	cr_expect_eq(intern_find(&intern, "/opt/agents/a", 11), kept, "cut as when it is kept");
	cr_expect_null(intern_find(&intern, "/opt/bots", 256));
	cr_expect_eq(intern_find(&intern, NULL, 256), intern_get(&intern, "", 256));
	cr_expect_eq(intern_count(&intern), 1);
	intern_put(&intern, kept);
	cr_expect_null(intern_find(&intern, "/opt/agents", 256));
	intern_done(&intern);
}

Test(intern, many_come_and_go)
{
	struct intern intern = {0};
	const char *texts[500];
	char text[32];

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ELEMENTSOF(texts); i++) {
			snprintf(text, sizeof(text), "room-%u", i % 250);
			texts[i] = intern_get(&intern, text, 256);
			cr_assert_str_eq(texts[i], text);
		}
		cr_expect_eq(intern_count(&intern), 250);
		for (unsigned i = 0; i < ELEMENTSOF(texts); i++) {
			snprintf(text, sizeof(text), "room-%u", i % 250);
			cr_assert_str_eq(texts[i], text);
			intern_put(&intern, texts[i]);
		}
		cr_expect_eq(intern_count(&intern), 0);
	}
	intern_done(&intern);
}
