/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/value.h"

/* Kinds of the values of leak. `off` is 0. */

#define HORIZON_MIN_NS NSEC_PER_SEC
#define HORIZON_MAX_NS (UINT64_C(7) * 86400 * NSEC_PER_SEC)

const struct conf_value_kind conf_kind_horizon = {
	CONF_TIME,
	.min = HORIZON_MIN_NS,
	.max = HORIZON_MAX_NS,
	.none = "off",
	.wrong = "is not a time; write a number with s, min or h, such as 30min, or off",
	.range = "is out of range; write 1s to 7d, such as 30min, or off",
};

static const char *const action_words[] = {[POLICY_LEAK_ALERT] = "alert", [POLICY_LEAK_STOP] = "stop", NULL};

const struct conf_value_kind conf_kind_leak_action = {
	CONF_WORD,
	.words = action_words,
	.wrong = "is not what can be done about a leak; write alert or stop",
};

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
