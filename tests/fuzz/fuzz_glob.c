/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/glob.h"
#include "core/regex.h"

/* Input: a pattern, a NUL, a text. The pattern is tried as a glob and as a regex. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_glob(const char *glob, const char *text)
{
	bool is_literal;
	size_t n = glob_literal_length(glob, &is_literal);
	bool matches = glob_match_path(glob, text);

	if (n > strlen(glob) || glob_last_component(glob) > strlen(glob))
		abort();
	if (glob_check(glob) < 0 && (matches || glob_match_text(glob, text)))
		abort();
	/* A glob with a literal head doesn't match nothing. */
	if (n > 0 && glob_match_text(glob, ""))
		abort();
	if (is_literal && n > 0 && n <= 1024 && !glob_match_path(glob, glob))
		abort();
}

static void try_regex(const char *pattern, const char *text)
{
	struct regex *regex = NULL;
	char error[64], group[16];
	int r = regex_new(pattern, &regex, error, sizeof(error));

	if (r < 0)
		return;
	memset(group, 'x', sizeof(group));
	r = regex_search(regex, text, group, sizeof(group));
	if (r != 0 && r != 1 && r != -E2BIG)
		abort();
	if (r == 1 && strnlen(group, sizeof(group)) == sizeof(group))
		abort();
	regex_free(regex);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 2), *text;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	copy[size] = copy[size + 1] = '\0';
	text = copy + strlen(copy) + (strlen(copy) < size);
	try_glob(copy, text);
	try_regex(copy, text);
	free(copy);
	return 0;
}
