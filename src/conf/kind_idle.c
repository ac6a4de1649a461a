/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>

#include "base/text.h"
#include "conf/value.h"

/* Kinds of the thresholds of idle, all struct policy_rate, and of hung. `0`: the least is more. */

#define CPU_MAX_MILLI 10000000		  /* thousandths of a percent: 100 CPUs */
#define CPU_PER_NS (100 * UINT64_C(1000)) /* of which that many are one CPU */
#define BYTES_MAX (UINT64_C(1) << 40)
#define COUNT_MAX 1000000

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

static int cpu_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	size_t length = strlen(text);
	char seconds[32];
	uint64_t ns;
	int r;

	if (parse_word(text, ret_value))
		return 0;
	if (length < 2 || text[length - 1] != '%' || strspn(text, "0123456789.") != length - 1)
		return -EINVAL;
	/* A decimal number, as those of times are. */
	if (snprintf(seconds, sizeof(seconds), "%.*ss", (int)length - 1, text) >= (int)sizeof(seconds))
		return -ERANGE;
	r = unit_parse_duration(seconds, &ns);
	if (r < 0)
		return r;
	if (ns > CPU_MAX_MILLI * NSEC_PER_MSEC)
		return -ERANGE;
	if (ns % NSEC_PER_MSEC)
		return -EINVAL;
	*(struct policy_rate *)ret_value = (struct policy_rate){ns / NSEC_PER_MSEC, CPU_PER_NS};
	return 0;
}

static void cpu_format(const void *value, char *buffer, size_t size)
{
	const struct policy_rate *rate = value;
	uint64_t fraction = rate->count % 1000;
	int decimals = 3;

	if (format_word(rate, buffer, size))
		return;
	for (; decimals && fraction % 10 == 0; decimals--)
		fraction /= 10;
	if (decimals)
		snprintf(buffer, size, "%" PRIu64 ".%0*" PRIu64 "%%", rate->count / 1000, decimals, fraction);
	else
		snprintf(buffer, size, "%" PRIu64 "%%", rate->count / 1000);
}

const struct conf_value_kind conf_kind_idle_cpu = {
	cpu_parse, cpu_format,
	"is not a share of one CPU; write a percentage with at most three decimals, such as 2% or 0.5%, 0, or infinity",
	"is out of range; write at most 10000%, such as 2%, 0, or infinity"};

static int bytes_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
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
	if (rate.count > BYTES_MAX)
		return -ERANGE;
	*(struct policy_rate *)ret_value = rate;
	return 0;
}

static void bytes_format(const void *value, char *buffer, size_t size)
{
	const struct policy_rate *rate = value;
	char bytes[32];

	if (format_word(rate, buffer, size))
		return;
	unit_format_size(bytes, sizeof(bytes), rate->count);
	snprintf(buffer, size, "%s/%s", bytes, conf_per_name(rate->per_ns));
}

const struct conf_value_kind conf_kind_idle_bytes = {
	bytes_parse, bytes_format,
	"is not a rate of bytes; write a size per s, min, h or d, such as 1K/s, 0, or infinity",
	"is out of range; write at most 1T, such as 1K/s, 0, or infinity"};

static int count_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	struct policy_rate rate;
	int r;

	if (parse_word(text, ret_value))
		return 0;
	r = unit_parse_rate(text, &rate.count, &rate.per_ns);
	if (r < 0)
		return r;
	if (rate.count > COUNT_MAX)
		return -ERANGE;
	*(struct policy_rate *)ret_value = rate;
	return 0;
}

static void count_format(const void *value, char *buffer, size_t size)
{
	const struct policy_rate *rate = value;

	if (!format_word(rate, buffer, size))
		snprintf(buffer, size, "%" PRIu64 "/%s", rate->count, conf_per_name(rate->per_ns));
}

const struct conf_value_kind conf_kind_idle_count = {
	count_parse, count_format, "is not a rate; write a number per s, min, h or d, such as 1/min, 0, or infinity",
	"is out of range; write at most 1000000, such as 1/min, 0, or infinity"};

static int hung_action_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	if (!streq(text, "alert") && !streq(text, "stop"))
		return -EINVAL;
	*(enum policy_hung_action *)ret_value = streq(text, "stop") ? POLICY_HUNG_STOP : POLICY_HUNG_ALERT;
	return 0;
}

static void hung_action_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, *(const enum policy_hung_action *)value == POLICY_HUNG_STOP ? "stop" : "alert");
}

const struct conf_value_kind conf_kind_hung_action = {
	hung_action_parse, hung_action_format, "is not what can be done with who hangs; write alert or stop", NULL};

void conf_hung_check(struct conf_context *context, const struct conf_hung_text *texts, const struct policy *policy)
{
	if (policy->protect && policy->hung.action == POLICY_HUNG_STOP)
		conf_complain(context, "hung.action", texts->action,
			      "would end agents that `protect: true` spares; write alert, or protect: false");
}
