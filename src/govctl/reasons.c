/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reasons.h"

#include "format.h"
#include "output.h"

#define REASONS_NAME_MIN 12

static void words_of(const json_t *object, const char *field, char *buffer, size_t size)
{
	const json_t *value = json_object_get(object, field);

	if (value && !(json_is_string(value) && !json_string_length(value)))
		format_text(value, buffer, size);
	else
		buffer[0] = '\0';
}

/* `matched`, or the first key that didn't and why. */
static void reason_print(const json_t *policy, size_t width, bool is_coloured)
{
	char name[128], key[64], reason[FORMAT_MAX];
	bool has_matched = json_is_true(json_object_get(policy, "matched"));
	const char *colour = !is_coloured ? "" : has_matched ? COLOUR_GREEN : COLOUR_DIM;

	words_of(policy, "policy", name, sizeof(name));
	words_of(policy, "key", key, sizeof(key));
	words_of(policy, "reason", reason, sizeof(reason));
	printf("  %s%s%s%*s  ", colour, name, is_coloured ? COLOUR_OFF : "",
	       (int)(width - MIN2(width, format_width(name))), "");
	if (has_matched)
		printf("matched%s%s\n", reason[0] ? ": " : "", reason);
	else
		printf("no: %s%s%s\n", key, key[0] && reason[0] ? ": " : "", reason);
}

void reasons_print(const json_t *answer)
{
	static const char *const skip[] = {"policies", NULL};
	const json_t *policies = json_object_get(answer, "policies");
	struct style style = style_get();
	size_t width = REASONS_NAME_MIN, i;
	json_t *policy;

	block_print(answer, skip, 0);
	json_array_foreach((json_t *)policies, i, policy)
	{
		char name[128];

		words_of(policy, "policy", name, sizeof(name));
		width = MAX2(width, format_width(name));
	}
	if (json_array_size(policies) > 0)
		printf("policies\n");
	json_array_foreach((json_t *)policies, i, policy) reason_print(policy, width, style.is_coloured);
}
