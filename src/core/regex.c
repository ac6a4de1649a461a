/* SPDX-License-Identifier: GPL-2.0-or-later */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/regex.h"
#include "base/text.h"

/*
 * PCRE2's own match limit counts anew at each place of the text where a match may start (pcre2_match.c,
 * match_call_count), so a text of n such places costs n times the limit. Automatic callouts, one before each item of
 * the pattern, let us count over the whole search: steps, and the bytes that were gone over between two of them.
 */

#define REGEX_NEST_MAX 32
/* An honest search takes a few steps for each byte of the text; more than this a byte is on top of REGEX_MATCH_LIMIT.
 */
#define REGEX_STEPS_PER_BYTE 16
#define REGEX_STEPS_BYTES_MAX 8192 /* no allowance for more text than this */
#define REGEX_TRAVEL_MAX (UINT64_C(1) << 20)

struct budget {
	uint64_t steps, steps_max;
	uint64_t travel; /* bytes */
	size_t position;
};

struct regex {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *context;
	struct budget *budget; /* of the search that runs; apart, because a regex is const for those who search */
};

static int budget_spend(pcre2_callout_block *block, void *userdata)
{
	struct budget *budget = userdata;
	size_t position = block->current_position;

	budget->steps++;
	budget->travel += position > budget->position ? position - budget->position : budget->position - position;
	budget->position = position;
	return budget->steps > budget->steps_max || budget->travel > REGEX_TRAVEL_MAX ? PCRE2_ERROR_CALLOUT : 0;
}

static int regex_compile(struct regex *regex, const char *pattern, char *error, size_t error_size)
{
	const uint32_t options = PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_AUTO_CALLOUT |
				 PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY;
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	PCRE2_UCHAR words[128];
	PCRE2_SIZE offset = 0;
	int code = 0;

	if (!context)
		return -ENOMEM;
	pcre2_set_max_pattern_length(context, REGEX_PATTERN_MAX);
	pcre2_set_parens_nest_limit(context, REGEX_NEST_MAX);
	regex->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options, &code, &offset, context);
	pcre2_compile_context_free(context);
	if (regex->code)
		return 0;
	if (code == PCRE2_ERROR_HEAP_FAILED)
		return -ENOMEM;
	pcre2_get_error_message(code, words, sizeof(words));
	if (error)
		snprintf(error, error_size, "%s at offset %zu", (const char *)words, (size_t)offset);
	return code == PCRE2_ERROR_PATTERN_TOO_LARGE || code == PCRE2_ERROR_PATTERN_STRING_TOO_LONG ? -E2BIG : -EINVAL;
}

int regex_new(const char *pattern, struct regex **ret_regex, char *error, size_t error_size)
{
	_cleanup_(regex_freep) struct regex *regex = NULL;
	int r;

	if (strnlen(pattern, REGEX_PATTERN_MAX + 1) > REGEX_PATTERN_MAX) {
		if (error)
			snprintf(error, error_size, "it is longer than %d bytes", REGEX_PATTERN_MAX);
		return -E2BIG;
	}
	regex = calloc(1, sizeof(*regex));
	if (!regex)
		return -ENOMEM;
	r = regex_compile(regex, pattern, error, error_size);
	if (r < 0)
		return r;
	regex->budget = calloc(1, sizeof(*regex->budget));
	regex->match = pcre2_match_data_create(2, NULL);
	regex->context = pcre2_match_context_create(NULL);
	if (!regex->budget || !regex->match || !regex->context)
		return -ENOMEM;
	pcre2_set_match_limit(regex->context, REGEX_MATCH_LIMIT);
	pcre2_set_heap_limit(regex->context, REGEX_HEAP_LIMIT_KIB);
	pcre2_set_callout(regex->context, budget_spend, regex->budget);
	*ret_regex = TAKE_PTR(regex);
	return 0;
}

struct regex *regex_free(struct regex *regex)
{
	if (!regex)
		return NULL;
	pcre2_code_free(regex->code);
	pcre2_match_data_free(regex->match);
	pcre2_match_context_free(regex->context);
	free(regex->budget);
	free(regex);
	return NULL;
}

static void group_copy(const struct regex *regex, const char *text, int n_groups, char *group, size_t group_size)
{
	const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(regex->match);
	uint32_t captures = 0;
	PCRE2_SIZE start = ends[0], end = ends[1];

	pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &captures);
	/* n_groups is 0 when there are more groups than the two that we keep. A group that took no part is empty. */
	if (captures) {
		start = n_groups == 1 ? PCRE2_UNSET : ends[2];
		end = ends[3];
	}
	/* \K within a look-ahead can put the start behind the end (pcre2api(3)). */
	if (start == PCRE2_UNSET || start > end)
		start = end = 0;
	end = MIN2(end, start + group_size - 1);
	memcpy(group, text + start, end - start);
	group[end - start] = '\0';
}

/* The number of groups that match data has, 0 also when there are more than it has room for; -ENOENT or -E2BIG. */
static int search(const struct regex *regex, const char *text)
{
	size_t length = strlen(text);
	int n;

	*regex->budget = (struct budget){
		.steps_max = REGEX_MATCH_LIMIT + MIN2(length, REGEX_STEPS_BYTES_MAX) * REGEX_STEPS_PER_BYTE,
	};
	n = pcre2_match(regex->code, (PCRE2_SPTR)text, length, 0, 0, regex->match, regex->context);
	if (n == PCRE2_ERROR_NOMATCH)
		return -ENOENT;
	return n < 0 ? -E2BIG : n;
}

int regex_search(const struct regex *regex, const char *text, char *group, size_t group_size)
{
	int n = search(regex, text);

	if (n < 0)
		return n == -ENOENT ? 0 : n;
	if (group && group_size)
		group_copy(regex, text, n, group, group_size);
	return 1;
}

int regex_find(const struct regex *regex, const char *text, size_t *ret_start, size_t *ret_end)
{
	int n = search(regex, text);
	const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(regex->match);

	if (n < 0)
		return n == -ENOENT ? 0 : n;
	*ret_start = MIN2(ends[0], ends[1]);
	*ret_end = MAX2(ends[0], ends[1]);
	return 1;
}
