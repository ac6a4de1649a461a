/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "core/glob.h"

struct glob_case {
	const char *glob, *text;
	bool matches;
};

Test(glob, paths)
{
	static const struct glob_case cases[] = {
		{"/opt/bots/claude", "/opt/bots/claude", true},
		{"/opt/bots/claude", "/opt/bots/claude2", false},
		{"/opt/bots/claude", "/opt/bots/claud", false},
		{"/opt/*/claude", "/opt/a/claude", true},
		{"/opt/*/claude", "/opt/a/b/claude", false},
		{"/opt/*/claude", "/opt//claude", true},
		{"/opt/**/claude", "/opt/a/b/claude", true},
		{"/opt/**/claude", "/opt/claude", true},
		{"/opt/**/claude", "/opt/notclaude", false},
		{"/opt/**/claude", "/opt/a/notclaude", false},
		{"/opt/**", "/opt/a/b", true},
		{"/opt/**", "/opt/", true},
		{"/opt/**", "/opt", false},
		{"/opt/a**z", "/opt/a/b/z", true},
		{"/**/**/**/x", "/x", true},
		{"/a/**/b/**/c", "/a/1/b/2/3/c", true},
		{"/a/**/b/**/c", "/a/1/2/3/c", false},
		{"claude", "/opt/claude", true},
		{"claude", "claude", true},
		{"claude", "/opt/xclaude", false},
		{"claude", "/claude/x", false},
		{"bin/claude", "/usr/bin/claude", true},
		{"*.py", "/srv/agents/a.py", true},
		{"*.py", "/srv/agents/a.pyc", false},
		{"/srv/*.py", "/srv/.py", true},
		{"**/x", "/a/b/x", true},
		{"python3.[0-9]", "/usr/bin/python3.9", true},
		{"python3.[!0-9]", "/usr/bin/python3.9", false},
		{"python3.[^0-9]", "/usr/bin/python3.x", true},
		{"[]]", "/]", true},
		{"[!]]", "/]", false},
		{"[a\\]b]", "/]", true},
		{"[a-]", "/-", true},
		{"[\\a-\\c]", "/b", true},
		{"/a[/]b", "/a/b", false},
		{"/a[!x]b", "/a/b", false},
		{"/a?b", "/a/b", false},
		{"/a?b", "/axb", true},
		{"/a\\*b", "/a*b", true},
		{"/a\\*b", "/axb", false},
		{"", "", false},
		{"[", "/[", false},
		{"a\\", "/a", false},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		cr_expect_eq(glob_match_path(cases[i].glob, cases[i].text), cases[i].matches, "%s on %s", cases[i].glob,
			     cases[i].text);
}

Test(glob, texts)
{
	static const struct glob_case cases[] = {
		{"*/agent.js", "/a/b/agent.js", true},
		{"*", "", true},
		{"a*", "ba", false},
		{"?", "/", true},
		{"[/]", "/", true},
		{"a**b", "a/b", true},
		{"/**/x", "/x", false},
		{"lit", "lit", true},
		{"lit", "/lit", false},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		cr_expect_eq(glob_match_text(cases[i].glob, cases[i].text), cases[i].matches, "%s on %s", cases[i].glob,
			     cases[i].text);
}

Test(glob, check_and_parts)
{
	char glob[1026];
	bool is_literal;

	cr_expect_eq(glob_check("/a/[b]*"), 0);
	cr_expect_eq(glob_check(""), -EINVAL);
	cr_expect_eq(glob_check("/a[b"), -EINVAL);
	cr_expect_eq(glob_check("/a[]"), -EINVAL);
	cr_expect_eq(glob_check("/a[b\\"), -EINVAL);
	cr_expect_eq(glob_check("/a\\"), -EINVAL);
	memset(glob, 'a', sizeof(glob));
	glob[1025] = '\0';
	cr_expect_eq(glob_check(glob), -E2BIG);
	glob[1024] = '\0';
	cr_expect_eq(glob_check(glob), 0);
	cr_expect_eq(glob_literal_length("/a/b*", &is_literal), 4);
	cr_expect_not(is_literal);
	cr_expect_eq(glob_literal_length("/a/b", &is_literal), 4);
	cr_expect(is_literal);
	cr_expect_eq(glob_last_component("/opt/[a/b]x"), 5);
	cr_expect_eq(glob_last_component("/opt/x"), 5);
	cr_expect_eq(glob_last_component("x"), 0);
}

/* The reference: the plain recursive definition, exponential and obviously right. */
static bool naive_set(const char **glob, char byte)
{
	const char *s = *glob + 1;
	bool negated = *s == '!', found = false;

	s += negated;
	for (bool first = true; *s != ']' || first; first = false) {
		char low = *s++, high = low;

		if (*s == '-' && s[1] != ']') {
			high = s[1];
			s += 2;
		}
		found |= byte >= low && byte <= high;
	}
	*glob = s + 1;
	return found != negated;
}

static bool naive_match(const char *glob, const char *text, bool at_start)
{
	if (!*glob)
		return !*text;
	if (strncmp(glob, "**", 2) == 0) {
		const char *rest = glob + strspn(glob, "*");

		if (at_start && *rest == '/') {
			if (naive_match(rest + 1, text, true))
				return true;
			for (const char *s = text; *s; s++)
				if (*s == '/' && naive_match(rest + 1, s + 1, true))
					return true;
			return false;
		}
		for (const char *s = text;; s++) {
			if (naive_match(rest, s, false))
				return true;
			if (!*s)
				return false;
		}
	}
	if (*glob == '*')
		return naive_match(glob + 1, text, false) ||
		       (*text && *text != '/' && naive_match(glob, text + 1, false));
	if (!*text)
		return false;
	if (*glob == '?')
		return *text != '/' && naive_match(glob + 1, text + 1, false);
	if (*glob == '[')
		return *text != '/' && naive_set(&glob, *text) && naive_match(glob, text + 1, false);
	return *glob == *text && naive_match(glob + 1, text + 1, *glob == '/');
}

static bool naive_path(const char *glob, const char *path)
{
	if (*glob == '/')
		return naive_match(glob, path, true);
	for (const char *s = path; s; s = strchr(s, '/') ? strchr(s, '/') + 1 : NULL)
		if (naive_match(glob, s, true))
			return true;
	return false;
}

Test(glob, random_globs_match_as_the_naive_definition)
{
	static const char *const pieces[] = {"a", "b", "/", "*", "**", "?", "[ab]", "[!a]", "/**/", "**/"};
	size_t matched = 0;

	srand(7);
	for (int i = 0; i < 300000; i++) {
		char glob[64] = "", text[16] = "";

		/* `***` is one `**` for both, but a `*` put in front of a `**` piece shifts what stands at the start.
		 */
		for (int n = 1 + rand() % 6; n > 0; n--) {
			const char *piece = pieces[(size_t)rand() % ELEMENTSOF(pieces)];
			size_t length = strlen(glob);

			if (!(length && glob[length - 1] == '*' && *piece == '*'))
				strcat(glob, piece);
		}
		if (!*glob)
			continue;
		for (int n = 0, length = rand() % 9; n < length; n++)
			text[n] = "ab/"[rand() % 3];
		cr_assert_eq(glob_match_path(glob, text), naive_path(glob, text), "%s on %s", glob, text);
		matched += glob_match_path(glob, text);
	}
	/* Else the test compares nothing. */
	cr_assert_gt(matched, 10000);
}

/* A backtracking matcher doesn't end on this. */
Test(glob, bombs_end, .timeout = 30)
{
	size_t size = 1 << 20;
	char *text = malloc(size + 1), glob[1025];

	for (size_t i = 0; i + 2 <= sizeof(glob); i += 2)
		memcpy(glob + i, "*a", 2);
	glob[sizeof(glob) - 1] = '\0';
	memset(text, 'a', size);
	text[size] = '\0';
	text[size - 1] = 'b';
	cr_expect_not(glob_match_text(glob, text));
	for (size_t i = 0; i + 4 <= sizeof(glob); i += 4)
		memcpy(glob + i, "**/a", 4);
	memset(text, '/', 8192);
	text[8192] = '\0';
	cr_expect_not(glob_match_path(glob, text));
	free(text);
}
