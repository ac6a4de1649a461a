/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/text.h"

Test(text, add_remembers_what_did_not_fit)
{
	char bytes[8];
	struct text text = TEXT_ON(bytes);

	text_add(&text, "abc");
	text_addf(&text, "%d", 12);
	cr_expect_str_eq(bytes, "abc12");
	cr_expect_not(text.truncated);
	text_add(&text, "defgh");
	cr_expect_str_eq(bytes, "abc12de");
	cr_expect(text.truncated);
	text_add(&text, "x");
	cr_expect_str_eq(bytes, "abc12de");
}

Test(text, copy)
{
	char bytes[4];

	cr_expect(text_copy(bytes, sizeof(bytes), "abc"));
	cr_expect_str_eq(bytes, "abc");
	cr_expect_not(text_copy(bytes, sizeof(bytes), "abcd"));
	cr_expect_str_eq(bytes, "abc");
	cr_expect(text_copy(bytes, sizeof(bytes), NULL));
	cr_expect_str_eq(bytes, "");
}

Test(text, escape)
{
	static const char *const cases[][2] = {
		{"plain", "plain"},
		{"a\nb\x1b[31m", "a\\x0ab\\x1b[31m"},
		{"back\\slash", "back\\\\slash"},
		{"gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"\xff\xc3(", "\\xff\\xc3("},
		{"\xc0\xaf", "\\xc0\\xaf"},	     /* overlong */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* surrogate */
		{"\xc2\x9b", "\\xc2\\x9b"},	     /* C1: an escape to some terminals */
		{"\x7f", "\\x7f"},
		{"\xe2\x82", "\\xe2\\x82"},
	};
	char bytes[128];

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		text_escape(bytes, sizeof(bytes), cases[i][0]);
		cr_expect_str_eq(bytes, cases[i][1]);
	}
	text_escape(bytes, 4, "abcdef");
	cr_expect_str_eq(bytes, "abc");
	text_escape(bytes, sizeof(bytes), NULL);
	cr_expect_str_eq(bytes, "");
}

Test(text, basename_and_dup)
{
	char *copy = text_dup("abcdef", 3);

	cr_expect_str_eq(text_basename("/a/b"), "b");
	cr_expect_str_eq(text_basename("b"), "b");
	cr_expect_str_eq(text_basename("/a/"), "");
	cr_expect_str_eq(copy, "abc");
	free(copy);
	cr_expect_null(text_dup(NULL, 3));
}
