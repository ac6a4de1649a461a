/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"
#include "conf/value.h"

/* Kinds of the values of leak. `off` is 0. */

#define HORIZON_MIN_NS NSEC_PER_SEC
#define HORIZON_MAX_NS (UINT64_C(7) * 86400 * NSEC_PER_SEC)

static int horizon_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	uint64_t ns = 0;
	int r = streq(text, "off") ? 0 : unit_parse_duration(text, &ns);

	if (r < 0)
		return r;
	if (!streq(text, "off") && (ns < HORIZON_MIN_NS || ns > HORIZON_MAX_NS))
		return -ERANGE;
	*(uint64_t *)ret_value = ns;
	return 0;
}

static void horizon_format(const void *value, char *buffer, size_t size)
{
	uint64_t ns = *(const uint64_t *)value;

	if (ns)
		unit_format_duration(buffer, size, ns);
	else
		text_copy(buffer, size, "off");
}

const struct conf_value_kind conf_kind_horizon = {
	horizon_parse, horizon_format, "is not a time; write a number with s, min or h, such as 30min, or off",
	"is out of range; write 1s to 7d, such as 30min, or off"};

static int action_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	if (!streq(text, "alert") && !streq(text, "stop"))
		return -EINVAL;
	*(enum policy_leak_action *)ret_value = streq(text, "stop") ? POLICY_LEAK_STOP : POLICY_LEAK_ALERT;
	return 0;
}

static void action_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, *(const enum policy_leak_action *)value == POLICY_LEAK_STOP ? "stop" : "alert");
}

const struct conf_value_kind conf_kind_leak_action = {
	action_parse, action_format, "is not what can be done about a leak; write alert or stop", NULL};

void conf_leak_check(struct conf_context *context, const struct conf_leak_text *texts, const struct policy *policy)
{
	if (!policy->leak.horizon_ns)
		return;
	if (policy->limits.memory_max_bytes == UNIT_INFINITY && policy->limits.memory_high_bytes == UNIT_INFINITY)
		conf_complain(context, "leak.horizon", texts->horizon,
			      "has no cap to be reached; write one, such as memory: {max: 600M}, or leave leak out");
	if (policy->protect && policy->leak.action == POLICY_LEAK_STOP)
		conf_complain(context, "leak.action", texts->action,
			      "would end agents that `protect: true` spares; write alert, or protect: false");
}
