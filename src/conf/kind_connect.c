/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>

#include "base/text.h"
#include "conf/value.h"

/* Kinds of the values of connect, breaker and sockets. Where there can be no limit, `infinity` is 0. */

#define RATE_MAX_PER_S 1000000 /* far beyond what a host connects */
#define BURST_MAX 10000
#define FAILURES_MAX 1000000
#define FACTOR_MAX_MILLI 100000
#define INTERVAL_MIN_NS NSEC_PER_SEC /* with which every breaker begins at the least */
#define STABLE_MAX_NS (86400 * NSEC_PER_SEC)

/* In the policy the time follows the count. */
_Static_assert(offsetof(struct policy_connect, rate_per_ns) == offsetof(struct policy_connect, rate_count) + 8, "rate");
_Static_assert(offsetof(struct policy_sockets, new_per_ns) == offsetof(struct policy_sockets, new_count) + 8, "rate");

static int new_rate_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	uint64_t rate[2] = {0, 0};
	int r = streq(text, "infinity") ? 0 : unit_parse_rate(text, &rate[0], &rate[1]);

	if (r < 0)
		return r;
	if (rate[1] && rate[0] > RATE_MAX_PER_S * (rate[1] / NSEC_PER_SEC))
		return -ERANGE;
	memcpy(ret_value, rate, sizeof(rate));
	return 0;
}

static int rate_parse(const char *text, const struct conf_host *host, void *ret_value)
{
	uint64_t rate[2];
	int r = new_rate_parse(text, host, rate);

	if (r < 0)
		return r;
	/* Slower than the longest that one can be held, all but the burst would be refused. */
	if (rate[0] && rate[1] / rate[0] > POLICY_DELAY_MAX_NS)
		return -ERANGE;
	memcpy(ret_value, rate, sizeof(rate));
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

static void rate_format(const void *value, char *buffer, size_t size)
{
	uint64_t rate[2];

	memcpy(rate, value, sizeof(rate));
	if (rate[0])
		snprintf(buffer, size, "%" PRIu64 "/%s", rate[0], conf_per_name(rate[1]));
	else
		text_copy(buffer, size, "infinity");
}

const struct conf_value_kind conf_kind_rate = {
	rate_parse, rate_format, "is not a rate; write a number per s, min or h, such as 5/min or 2/s",
	"is out of range; write 30/h, one in the longest time that the kernel can hold a connect, to 1000000/s, or "
	"infinity"};
const struct conf_value_kind conf_kind_new_rate = {
	new_rate_parse, rate_format, "is not a rate; write a number per s, min, h or d, such as 10/s, or infinity",
	"is out of range; write 1/d to 1000000/s, or infinity"};

static int number_parse(const char *text, uint64_t max, void *ret_value)
{
	uint64_t number;
	int r = unit_parse_count(text, &number);

	if (r < 0)
		return r;
	if (number < 1 || number > max)
		return -ERANGE;
	*(uint32_t *)ret_value = (uint32_t)number;
	return 0;
}

static int burst_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return number_parse(text, BURST_MAX, ret_value);
}

static int failures_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	if (!streq(text, "infinity"))
		return number_parse(text, FAILURES_MAX, ret_value);
	*(uint32_t *)ret_value = 0;
	return 0;
}

static void number_format(const void *value, char *buffer, size_t size)
{
	uint32_t number = *(const uint32_t *)value;

	if (number)
		snprintf(buffer, size, "%" PRIu32, number);
	else
		text_copy(buffer, size, "infinity");
}

const struct conf_value_kind conf_kind_burst = {burst_parse, number_format, "is not a number; write one such as 5",
						"is out of range; write 1 to 10000, such as 5"};
const struct conf_value_kind conf_kind_failures = {
	failures_parse, number_format, "is not a number; write one such as 5, or infinity for no breaker",
	"is out of range; write 1 to 1000000, such as 5, or infinity for no breaker"};

static int factor_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	char seconds[32];
	uint64_t ns;
	int r;

	/* A decimal number, as those of times are. */
	if (strspn(text, "0123456789.") != strlen(text))
		return -EINVAL;
	if (snprintf(seconds, sizeof(seconds), "%ss", text) >= (int)sizeof(seconds))
		return -ERANGE;
	r = unit_parse_duration(seconds, &ns);
	if (r < 0)
		return r;
	if (ns < NSEC_PER_SEC || ns > FACTOR_MAX_MILLI * NSEC_PER_MSEC)
		return -ERANGE;
	if (ns % NSEC_PER_MSEC)
		return -EINVAL;
	*(uint32_t *)ret_value = (uint32_t)(ns / NSEC_PER_MSEC);
	return 0;
}

static void factor_format(const void *value, char *buffer, size_t size)
{
	uint32_t milli = *(const uint32_t *)value, decimals = 3, fraction = milli % 1000;

	for (; decimals && fraction % 10 == 0; decimals--)
		fraction /= 10;
	if (decimals)
		snprintf(buffer, size, "%" PRIu32 ".%0*" PRIu32, milli / 1000, (int)decimals, fraction);
	else
		snprintf(buffer, size, "%" PRIu32, milli / 1000);
}

const struct conf_value_kind conf_kind_factor = {
	factor_parse, factor_format, "is not a factor; write a number with at most three decimals, such as 2 or 1.5",
	"is out of range; write 1 to 100, such as 2"};

static int duration_parse(const char *text, const uint64_t range_ns[2], void *ret_value)
{
	uint64_t ns;
	int r = unit_parse_duration(text, &ns);

	if (r < 0)
		return r;
	if (ns < range_ns[0] || ns > range_ns[1])
		return -ERANGE;
	*(uint64_t *)ret_value = ns;
	return 0;
}

static int delay_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return duration_parse(text, (const uint64_t[]){1, POLICY_DELAY_MAX_NS}, ret_value);
}

static int interval_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return duration_parse(text, (const uint64_t[]){INTERVAL_MIN_NS, POLICY_DELAY_MAX_NS}, ret_value);
}

static int stable_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return duration_parse(text, (const uint64_t[]){1, STABLE_MAX_NS}, ret_value);
}

static void duration_format(const void *value, char *buffer, size_t size)
{
	unit_format_duration(buffer, size, *(const uint64_t *)value);
}

#define TIME_WRONG "is not a time; write a number with ms, s, min or h, such as 30s or 1min"

const struct conf_value_kind conf_kind_delay = {
	delay_parse, duration_format, TIME_WRONG,
	"is out of range; write more than 0 and at most 2min, the longest that the kernel can hold a connect"};
const struct conf_value_kind conf_kind_interval = {
	interval_parse, duration_format, TIME_WRONG,
	"is out of range; write 1s to 2min, the longest that the kernel can hold a connect"};
const struct conf_value_kind conf_kind_stable = {stable_parse, duration_format, TIME_WRONG,
						 "is out of range; write more than 0 and at most 1d, such as 30s"};

/* The place of a word among words; it is the number of the enum, too. */
static int word_parse(const char *text, const char *const *words, void *ret_value)
{
	for (unsigned i = 0; words[i]; i++)
		if (streq(text, words[i])) {
			*(unsigned *)ret_value = i;
			return 0;
		}
	return -EINVAL;
}

static const char *const per_words[] = {
	[POLICY_PER_DESTINATION] = "destination", [POLICY_PER_PORT] = "port", [POLICY_PER_AGENT] = "agent", NULL};
static const char *const excess_words[] = {[POLICY_EXCESS_REFUSE] = "refuse", [POLICY_EXCESS_DELAY] = "delay", NULL};
static const char *const udp_words[] = {[POLICY_UDP_COUNT] = "count", [POLICY_UDP_REFUSE] = "refuse", NULL};
_Static_assert(sizeof(enum policy_per) == sizeof(unsigned) && sizeof(enum policy_excess) == sizeof(unsigned) &&
		       sizeof(enum policy_udp) == sizeof(unsigned),
	       "word_parse");

static int per_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return word_parse(text, per_words, ret_value);
}

static int excess_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return word_parse(text, excess_words, ret_value);
}

static int udp_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return word_parse(text, udp_words, ret_value);
}

static void per_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, per_words[*(const enum policy_per *)value]);
}

static void excess_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, excess_words[*(const enum policy_excess *)value]);
}

static void udp_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, udp_words[*(const enum policy_udp *)value]);
}

const struct conf_value_kind conf_kind_per = {
	per_parse, per_format, "is not what a budget can be for; write destination, port or agent", NULL};
const struct conf_value_kind conf_kind_excess = {
	excess_parse, excess_format, "is not what can be done beyond max_delay; write refuse or delay", NULL};
const struct conf_value_kind conf_kind_udp = {udp_parse, udp_format,
					      "is not what can be done with UDP; write count or refuse", NULL};

void conf_connect_check(struct conf_context *context, const struct conf_connect_text *texts,
			const struct policy_connect *connect)
{
	uint64_t interval_ns = connect->rate_count ? connect->rate_per_ns / connect->rate_count : 0;
	char least[32], delay[32];
	uint64_t given_ns;

	if (connect->max_delay_ns >= interval_ns)
		return;
	/* That it is wrong was told already. */
	if (texts->max_delay && delay_parse(texts->max_delay, NULL, &given_ns) < 0)
		return;
	/* In whole seconds, which the user would write. */
	unit_format_duration(least, sizeof(least), (interval_ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC * NSEC_PER_SEC);
	unit_format_duration(delay, sizeof(delay), connect->max_delay_ns);
	conf_complain(context, "connect.max_delay", texts->max_delay ? texts->max_delay : delay,
		      "is less than the time between two connects at %s, so that all but the burst would be refused; "
		      "write %s to 2min, or a higher rate",
		      texts->rate, least);
}
