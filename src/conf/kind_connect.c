/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>

#include "base/text.h"
#include "conf/value.h"

/* Kinds of the values of connect, breaker and sockets. Where there can be no limit, `infinity` is 0. */

#define RATE_MAX_PER_S 1000000	     /* far beyond what a host connects */
#define INTERVAL_MIN_NS NSEC_PER_SEC /* with which every breaker begins at the least */
#define STABLE_MAX_NS (86400 * NSEC_PER_SEC)

static int new_rate_parse(const struct conf_value_kind *kind _unused_, const char *text,
			  const struct conf_host *host _unused_, void *ret_value)
{
	struct policy_rate rate = {0};
	int r = streq(text, "infinity") ? 0 : unit_parse_rate(text, &rate.count, &rate.per_ns);

	if (r < 0)
		return r;
	if (rate.per_ns && rate.count > RATE_MAX_PER_S * (rate.per_ns / NSEC_PER_SEC))
		return -ERANGE;
	*(struct policy_rate *)ret_value = rate;
	return 0;
}

static int rate_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host,
		      void *ret_value)
{
	struct policy_rate rate;
	int r = new_rate_parse(kind, text, host, &rate);

	if (r < 0)
		return r;
	/* Slower than the longest that one can be held, all but the burst would be refused. */
	if (rate.count && rate.per_ns / rate.count > POLICY_DELAY_MAX_NS)
		return -ERANGE;
	*(struct policy_rate *)ret_value = rate;
	return 0;
}

const char *conf_per_name(uint64_t per_ns)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = {{NSEC_PER_SEC, "s"}, {60 * NSEC_PER_SEC, "min"}, {3600 * NSEC_PER_SEC, "h"}};

	for (size_t i = 0; i < ELEMENTSOF(units); i++)
		if (units[i].ns == per_ns)
			return units[i].name;
	return "d";
}

static void rate_format(const struct conf_value_kind *kind _unused_, const void *value, char *buffer, size_t size)
{
	const struct policy_rate *rate = value;

	if (rate->count)
		snprintf(buffer, size, "%" PRIu64 "/%s", rate->count, conf_per_name(rate->per_ns));
	else
		text_copy(buffer, size, "infinity");
}

const struct conf_value_kind conf_kind_rate = {
	.parse = rate_parse,
	.format = rate_format,
	.wrong = "is not a rate; write a number per s, min or h, such as 5/min or 2/s",
	.range = "is out of range; write 30/h, one in the longest time that the kernel can hold a connect, to "
		 "1000000/s, or infinity",
};
const struct conf_value_kind conf_kind_new_rate = {
	.parse = new_rate_parse,
	.format = rate_format,
	.wrong = "is not a rate; write a number per s, min, h or d, such as 10/s, or infinity",
	.range = "is out of range; write 1/d to 1000000/s, or infinity",
};
const struct conf_value_kind conf_kind_burst = {
	CONF_NUMBER,
	.min = 1,
	.max = 10000,
	.wrong = "is not a number; write one such as 5",
	.range = "is out of range; write 1 to 10000, such as 5",
};
const struct conf_value_kind conf_kind_failures = {
	CONF_NUMBER,
	.min = 1,
	.max = 1000000,
	.none = "infinity",
	.wrong = "is not a number; write one such as 5, or infinity for no breaker",
	.range = "is out of range; write 1 to 1000000, such as 5, or infinity for no breaker",
};

static int factor_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host _unused_,
			void *ret_value)
{
	uint64_t milli;
	int r = conf_milli_parse(kind, text, strlen(text), &milli);

	if (r == 0)
		*(uint32_t *)ret_value = (uint32_t)milli;
	return r;
}

static void factor_format(const struct conf_value_kind *kind _unused_, const void *value, char *buffer, size_t size)
{
	conf_milli_format(*(const uint32_t *)value, buffer, size);
}

const struct conf_value_kind conf_kind_factor = {
	.parse = factor_parse,
	.format = factor_format,
	.min = 1000,
	.max = 100000,
	.wrong = "is not a factor; write a number with at most three decimals, such as 2 or 1.5",
	.range = "is out of range; write 1 to 100, such as 2",
};

#define TIME_WRONG "is not a time; write a number with ms, s, min or h, such as 30s or 1min"

const struct conf_value_kind conf_kind_delay = {
	CONF_TIME,
	.min = 1,
	.max = POLICY_DELAY_MAX_NS,
	.wrong = TIME_WRONG,
	.range = "is out of range; write more than 0 and at most 2min, the longest that the kernel can hold a connect",
};
const struct conf_value_kind conf_kind_interval = {
	CONF_TIME,
	.min = INTERVAL_MIN_NS,
	.max = POLICY_DELAY_MAX_NS,
	.wrong = TIME_WRONG,
	.range = "is out of range; write 1s to 2min, the longest that the kernel can hold a connect",
};
const struct conf_value_kind conf_kind_stable = {
	CONF_TIME,
	.min = 1,
	.max = STABLE_MAX_NS,
	.wrong = TIME_WRONG,
	.range = "is out of range; write more than 0 and at most 1d, such as 30s",
};

static const char *const per_words[] = {
	[POLICY_PER_DESTINATION] = "destination",
	[POLICY_PER_PORT] = "port",
	[POLICY_PER_AGENT] = "agent",
	NULL,
};
static const char *const excess_words[] = {[POLICY_EXCESS_REFUSE] = "refuse", [POLICY_EXCESS_DELAY] = "delay", NULL};
static const char *const udp_words[] = {[POLICY_UDP_COUNT] = "count", [POLICY_UDP_REFUSE] = "refuse", NULL};

const struct conf_value_kind conf_kind_per = {
	CONF_WORD,
	.words = per_words,
	.wrong = "is not what a budget can be for; write destination, port or agent",
};
const struct conf_value_kind conf_kind_excess = {
	CONF_WORD,
	.words = excess_words,
	.wrong = "is not what can be done beyond max_delay; write refuse or delay",
};
const struct conf_value_kind conf_kind_udp = {
	CONF_WORD,
	.words = udp_words,
	.wrong = "is not what can be done with UDP; write count or refuse",
};

void conf_connect_check(struct conf_context *context, const struct conf_connect_text *texts,
			const struct policy_connect *connect)
{
	uint64_t interval_ns = connect->rate.count ? connect->rate.per_ns / connect->rate.count : 0;
	char least[32], delay[32];
	uint64_t given_ns;

	if (connect->max_delay_ns >= interval_ns)
		return;
	/* That it is wrong was told already. */
	if (texts->max_delay && conf_time_parse(&conf_kind_delay, texts->max_delay, NULL, &given_ns) < 0)
		return;
	/* In whole seconds, which the user would write. */
	unit_format_duration(least, sizeof(least), (interval_ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC * NSEC_PER_SEC);
	unit_format_duration(delay, sizeof(delay), connect->max_delay_ns);
	conf_complain(context, "connect.max_delay", texts->max_delay ? texts->max_delay : delay,
		      "is less than the time between two connects at %s, so that all but the burst would be refused; "
		      "write %s to 2min, or a higher rate",
		      texts->rate, least);
}
