/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>

#include "base/text.h"
#include "conf/value.h"

/* Kinds of the values of restart and lifecycle. Where there can be no limit, `infinity` is 0. */

#define TIME_MAX_NS (UINT64_C(7) * 86400 * NSEC_PER_SEC) /* a supervisor that is slower than that isn't one */
#define TIME_MIN_NS NSEC_PER_MSEC
#define AGENTS_MAX 4096 /* as many as there can be, STATE_AGENTS_MAX */

static int time_parse(const char *text, uint64_t min_ns, void *ret_value)
{
	uint64_t ns;
	int r = unit_parse_duration(text, &ns);

	if (r < 0)
		return r;
	if (ns < min_ns || ns > TIME_MAX_NS)
		return -ERANGE;
	*(uint64_t *)ret_value = ns;
	return 0;
}

static int uptime_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return time_parse(text, 0, ret_value);
}

static int delay_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return time_parse(text, TIME_MIN_NS, ret_value);
}

static int window_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return time_parse(text, NSEC_PER_SEC, ret_value);
}

static void time_format(const void *value, char *buffer, size_t size)
{
	unit_format_duration(buffer, size, *(const uint64_t *)value);
}

#define TIME_WRONG "is not a time; write a number with ms, s, min, h or d, such as 10s or 5min"

const struct conf_value_kind conf_kind_uptime = {
	uptime_parse, time_format, TIME_WRONG,
	"is out of range; write at most 7d, such as 10s, or 0s to count nothing"};
const struct conf_value_kind conf_kind_restart_delay = {delay_parse, time_format, TIME_WRONG,
							"is out of range; write 1ms to 7d, such as 5s"};
const struct conf_value_kind conf_kind_window = {window_parse, time_format, TIME_WRONG,
						 "is out of range; write 1s to 7d, such as 10min"};

static int limit_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	uint64_t number = 0;
	int r = streq(text, "infinity") ? 0 : unit_parse_count(text, &number);

	if (r < 0)
		return r;
	/* The first crash leads to nothing. */
	if (!streq(text, "infinity") && (number < 2 || number > POLICY_RESTARTS_MAX))
		return -ERANGE;
	*(uint32_t *)ret_value = (uint32_t)number;
	return 0;
}

static void limit_format(const void *value, char *buffer, size_t size)
{
	uint32_t limit = *(const uint32_t *)value;

	if (limit)
		snprintf(buffer, size, "%" PRIu32, limit);
	else
		text_copy(buffer, size, "infinity");
}

const struct conf_value_kind conf_kind_restart_limit = {limit_parse, limit_format,
							"is not a number; write one such as 10, or infinity",
							"is out of range; write 2 to 100, such as 10, or infinity"};

static int life_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	if (!streq(text, "infinity"))
		return time_parse(text, NSEC_PER_SEC, ret_value);
	*(uint64_t *)ret_value = 0;
	return 0;
}

static void life_format(const void *value, char *buffer, size_t size)
{
	if (*(const uint64_t *)value)
		time_format(value, buffer, size);
	else
		text_copy(buffer, size, "infinity");
}

static int agents_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	uint64_t number = 0;
	int r = streq(text, "infinity") ? 0 : unit_parse_count(text, &number);

	if (r < 0)
		return r;
	if (!streq(text, "infinity") && (number < 1 || number > AGENTS_MAX))
		return -ERANGE;
	*(uint32_t *)ret_value = (uint32_t)number;
	return 0;
}

const struct conf_value_kind conf_kind_life = {life_parse, life_format, TIME_WRONG,
					       "is out of range; write 1s to 7d, such as 30s, or infinity"};
const struct conf_value_kind conf_kind_agents = {agents_parse, limit_format,
						 "is not a number; write one such as 20, or infinity",
						 "is out of range; write 1 to 4096, such as 20, or infinity"};

/* The place of a word among words is the number of the enum, too. */
static int word_parse(const char *text, const char *const *words, unsigned *ret_value)
{
	for (unsigned i = 0; words[i]; i++)
		if (streq(text, words[i])) {
			*ret_value = i;
			return 0;
		}
	return -EINVAL;
}

static const char *const on_limit_words[] = {
	[POLICY_LIMIT_FREEZE] = "freeze", [POLICY_LIMIT_REFUSE] = "refuse", [POLICY_LIMIT_ALERT] = "alert", NULL};
static const char *const on_duplicate_words[] = {[POLICY_DUPLICATE_STOP_OLD] = "stop-old",
						 [POLICY_DUPLICATE_STOP_NEW] = "stop-new",
						 [POLICY_DUPLICATE_ALERT] = "alert",
						 NULL};
_Static_assert(sizeof(enum policy_on_limit) == sizeof(unsigned) && sizeof(enum policy_on_duplicate) == sizeof(unsigned),
	       "word_parse");

static int on_limit_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return word_parse(text, on_limit_words, ret_value);
}

static void on_limit_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, on_limit_words[*(const enum policy_on_limit *)value]);
}

static int on_duplicate_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return word_parse(text, on_duplicate_words, ret_value);
}

static void on_duplicate_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, on_duplicate_words[*(const enum policy_on_duplicate *)value]);
}

const struct conf_value_kind conf_kind_on_limit = {
	on_limit_parse, on_limit_format, "is not what can be done at the limit; write freeze, refuse or alert", NULL};
const struct conf_value_kind conf_kind_on_duplicate = {
	on_duplicate_parse, on_duplicate_format,
	"is not what can be done with agents of one key; write stop-old, "
	"stop-new or alert",
	NULL};
