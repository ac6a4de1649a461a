/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "core/regex.h"

static int search(const char *pattern, const char *text, char *group, size_t size)
{
	_cleanup_(regex_freep) struct regex *regex = NULL;

	cr_assert_eq(regex_new(pattern, &regex, NULL, 0), 0, "%s", pattern);
	return regex_search(regex, text, group, size);
}

Test(regex, searches)
{
	cr_expect_eq(search("--room=\\S+", "x --room=7 y", NULL, 0), 1);
	cr_expect_eq(search("^x", "yx", NULL, 0), 0);
	cr_expect_eq(search("a.b", "a\nb", NULL, 0), 1, "the dot matches a newline");
	cr_expect_eq(search("a$", "a\n", NULL, 0), 0, "$ is the very end");
	cr_expect_eq(search("\xff", "a\xff", NULL, 0), 1, "bytes, not UTF-8");
}

Test(regex, groups)
{
	char group[8] = "zzz";

	cr_expect_eq(search("--room=(\\S+)", "x --room=7 y", group, sizeof(group)), 1);
	cr_expect_str_eq(group, "7");
	cr_expect_eq(search("--room=\\S+", "x --room=7 y", group, sizeof(group)), 1);
	cr_expect_str_eq(group, "--room=", "the whole match, cut");
	cr_expect_eq(search("a(x)?(y)?(b)", "ab", group, sizeof(group)), 1);
	cr_expect_str_eq(group, "", "a group that took no part");
	cr_expect_eq(search("a(x)?", "a", group, sizeof(group)), 1);
	cr_expect_str_eq(group, "");
	cr_expect_eq(search("(a)(b)(c)(d)", "abcd", group, sizeof(group)), 1);
	cr_expect_str_eq(group, "a");
	strcpy(group, "zzz");
	cr_expect_eq(search("(q)", "abcd", group, sizeof(group)), 0);
	cr_expect_str_eq(group, "zzz");
}

Test(regex, refuses)
{
	static const struct {
		const char *pattern;
		int error;
	} cases[] = {
		{"(a", -EINVAL},
		{"[a", -EINVAL},
		{"a\\C", -EINVAL},
		{"(*UTF)a", -EINVAL},
		{"((((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))))", -EINVAL},
		{"(((a{1,999}){1,999}){1,999}){1,999}", -E2BIG},
	};
	char pattern[REGEX_PATTERN_MAX + 2], error[160];
	struct regex *regex = NULL;

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		error[0] = '\0';
		cr_expect_eq(regex_new(cases[i].pattern, &regex, error, sizeof(error)), cases[i].error, "%s: %s",
			     cases[i].pattern, error);
		cr_expect_neq(error[0], '\0');
		cr_expect_null(regex);
	}
	memset(pattern, 'a', sizeof(pattern));
	pattern[REGEX_PATTERN_MAX + 1] = '\0';
	cr_expect_eq(regex_new(pattern, &regex, error, sizeof(error)), -E2BIG);
	pattern[REGEX_PATTERN_MAX] = '\0';
	cr_expect_eq(regex_new(pattern, &regex, NULL, 0), 0);
	regex_free(regex);
}

static char *repeat(const char *piece, size_t bytes)
{
	size_t n = strlen(piece);
	char *text = malloc(bytes + 1);

	for (size_t i = 0; i < bytes; i++)
		text[i] = piece[i % n];
	text[bytes] = '\0';
	return text;
}

/* What a process can choose as its arguments; each of these takes minutes without the limits. */
Test(regex, bombs_are_stopped, .timeout = 20)
{
	static const struct {
		const char *pattern, *piece;
	} bombs[] = {
		{"(a+)+$", "a"},			 /* exponential at one place */
		{"(a|aa)+$", "a"},    {"a.*b.*c", "ab"}, /* cubic */
		{"a.*b", "a"},				 /* quadratic: many places, each below PCRE2's own limit */
		{"--x.*--y", "--x "}, {"a[^q]*+q", "a"}, /* quadratic, without a step to count */
		{"(.*)\\1q", "a"},    {"(?:a?){30}a{30}q", "a"},
	};

	for (size_t i = 0; i < ELEMENTSOF(bombs); i++)
		for (size_t bytes = 8192; bytes <= 1 << 20; bytes <<= 7) {
			_cleanup_free_ char *text = repeat(bombs[i].piece, bytes);

			/* The last letter wakes the search that PCRE2 skips when a letter that must be there is not. */
			text[bytes - 1] = bombs[i].pattern[strlen(bombs[i].pattern) - 1];
			if (text[bytes - 1] == '$')
				text[bytes - 1] = 'x';
			text[bytes - 2] = '!';
			for (int times = 0; times < 20; times++) {
				int r = search(bombs[i].pattern, text, NULL, 0);

				cr_expect(r == 0 || r == 1 || r == -E2BIG);
			}
		}
}

/* By steps, not by time: each would end below PCRE2's own limit, which counts anew at each place. */
Test(regex, the_whole_search_is_counted)
{
	_cleanup_free_ char *text = repeat("a", 8192), *words = repeat("--x ", 8192);

	cr_expect_eq(search("(a+)+$", text, NULL, 0), 1);
	text[8191] = 'x';
	cr_expect_eq(search("(a+)+$", text, NULL, 0), -E2BIG);
	words[8191] = 'y';
	cr_expect_eq(search("--x.*--y", words, NULL, 0), -E2BIG, "steps at all places together");
	memcpy(text + 8188, "qxr", 3);
	text[8191] = 'r';
	cr_expect_eq(search("a[^q]*+qr", text, NULL, 0), -E2BIG, "bytes gone over without a step");
	cr_expect_eq(search("(?:|||){6}(*F)", text, NULL, 0), -E2BIG, "steps without a byte gone over");
}

/* And what is honest is found, also in long arguments. */
Test(regex, long_arguments_are_searched_to_the_end)
{
	_cleanup_free_ char *text = repeat("some words of a prompt, ", 8150);
	char all[8200];

	snprintf(all, sizeof(all), "%s --input-format stream-json", text);
	cr_expect_eq(search("--input-format stream-json", all, NULL, 0), 1);
	cr_expect_eq(search("(^| )--input-format( |=)stream-json( |$)", all, NULL, 0), 1);
	cr_expect_eq(search("\\S+-format", all, NULL, 0), 1);
	cr_expect_eq(search("--absent", all, NULL, 0), 0);
	cr_expect_eq(search("(^| )--absent( |$)", all, NULL, 0), 0);
}
