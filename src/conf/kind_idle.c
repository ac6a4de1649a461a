/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>

#include "base/text.h"
#include "conf/value.h"

/* Kinds of the thresholds of idle, all struct policy_rate, and of hung. `0`: the least is more. */

#define CPU_MAX_MILLI 10000000		  /* thousandths of a percent: 100 CPUs */
#define CPU_PER_NS (100 * UINT64_C(1000)) /* of which that many are one CPU */

/* `infinity` and `0`. */
static bool parse_word(const char *text, struct policy_rate *ret_rate)
{
	if (!streq(text, "infinity") && !streq(text, "0"))
		return false;
	*ret_rate = (struct policy_rate){streq(text, "0") ? 0 : UNIT_INFINITY, 1};
	return true;
}

static bool format_word(const struct policy_rate *rate, char *buffer, size_t size)
{
	if (rate->count && rate->count != UNIT_INFINITY)
		return false;
	text_copy(buffer, size, rate->count ? "infinity" : "0");
	return true;
}

static int cpu_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host _unused_,
		     void *ret_value)
{
	size_t length = strlen(text);
	uint64_t milli;
	int r;

	if (parse_word(text, ret_value))
		return 0;
	if (length < 2 || text[length - 1] != '%')
		return -EINVAL;
	r = conf_milli_parse(kind, text, length - 1, &milli);
	if (r == 0)
		*(struct policy_rate *)ret_value = (struct policy_rate){milli, CPU_PER_NS};
	return r;
}

static void cpu_format(const struct conf_value_kind *kind _unused_, const void *value, char *buffer, size_t size)
{
	const struct policy_rate *rate = value;
	char number[32];

	if (format_word(rate, buffer, size))
		return;
	conf_milli_format(rate->count, number, sizeof(number));
	snprintf(buffer, size, "%s%%", number);
}

const struct conf_value_kind conf_kind_idle_cpu = {
	.parse = cpu_parse,
	.format = cpu_format,
	.max = CPU_MAX_MILLI,
	.wrong = "is not a share of one CPU; write a percentage with at most three decimals, such as 2% or 0.5%, 0, or "
		 "infinity",
	.range = "is out of range; write at most 10000%, such as 2%, 0, or infinity",
};

static int bytes_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host _unused_,
		       void *ret_value)
{
	const char *slash = strchr(text, '/');
	struct policy_rate rate;
	char size[32], per[32];
	uint64_t one;
	int r;

	if (parse_word(text, ret_value))
		return 0;
	if (!slash || (size_t)(slash - text) >= sizeof(size) || strchr(text, '%') || strncmp(text, "inf", 3) == 0)
		return -EINVAL;
	snprintf(size, sizeof(size), "%.*s", (int)(slash - text), text);
	r = unit_parse_size(size, 0, &rate.count);
	if (r < 0)
		return r;
	if (snprintf(per, sizeof(per), "1%s", slash) >= (int)sizeof(per))
		return -EINVAL;
	r = unit_parse_rate(per, &one, &rate.per_ns);
	if (r < 0)
		return r;
	if (rate.count > kind->max)
		return -ERANGE;
	*(struct policy_rate *)ret_value = rate;
	return 0;
}

static void bytes_format(const struct conf_value_kind *kind _unused_, const void *value, char *buffer, size_t size)
{
	const struct policy_rate *rate = value;
	char bytes[32];

	if (format_word(rate, buffer, size))
		return;
	unit_format_size(bytes, sizeof(bytes), rate->count);
	snprintf(buffer, size, "%s/%s", bytes, conf_per_name(rate->per_ns));
}

const struct conf_value_kind conf_kind_idle_bytes = {
	.parse = bytes_parse,
	.format = bytes_format,
	.max = UINT64_C(1) << 40,
	.wrong = "is not a rate of bytes; write a size per s, min, h or d, such as 1K/s, 0, or infinity",
	.range = "is out of range; write at most 1T, such as 1K/s, 0, or infinity",
};

static int count_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host _unused_,
		       void *ret_value)
{
	struct policy_rate rate;
	int r;

	if (parse_word(text, ret_value))
		return 0;
	r = unit_parse_rate(text, &rate.count, &rate.per_ns);
	if (r < 0)
		return r;
	if (rate.count > kind->max)
		return -ERANGE;
	*(struct policy_rate *)ret_value = rate;
	return 0;
}

static void count_format(const struct conf_value_kind *kind _unused_, const void *value, char *buffer, size_t size)
{
	const struct policy_rate *rate = value;

	if (!format_word(rate, buffer, size))
		snprintf(buffer, size, "%" PRIu64 "/%s", rate->count, conf_per_name(rate->per_ns));
}

const struct conf_value_kind conf_kind_idle_count = {
	.parse = count_parse,
	.format = count_format,
	.max = 1000000,
	.wrong = "is not a rate; write a number per s, min, h or d, such as 1/min, 0, or infinity",
	.range = "is out of range; write at most 1000000, such as 1/min, 0, or infinity",
};

static const char *const hung_action_words[] = {[POLICY_HUNG_ALERT] = "alert", [POLICY_HUNG_STOP] = "stop", NULL};

const struct conf_value_kind conf_kind_hung_action = {
	CONF_WORD,
	.words = hung_action_words,
	.wrong = "is not what can be done with who hangs; write alert or stop",
};

void conf_hung_check(struct conf_context *context, const struct conf_hung_text *texts, const struct policy *policy)
{
	if (policy->protect && policy->hung.action == POLICY_HUNG_STOP)
		conf_complain(context, "hung.action", texts->action,
			      "would end agents that `protect: true` spares; write alert, or protect: false");
}
