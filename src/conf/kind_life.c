/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/value.h"

/* Kinds of the values of restart and lifecycle. Where there can be no limit, `infinity` is 0. */

#define TIME_MAX_NS (UINT64_C(7) * 86400 * NSEC_PER_SEC) /* a supervisor that is slower than that isn't one */
#define AGENTS_MAX 4096					 /* as many as there can be, STATE_AGENTS_MAX */

#define TIME_WRONG "is not a time; write a number with ms, s, min, h or d, such as 10s or 5min"

const struct conf_value_kind conf_kind_uptime = {
	CONF_TIME,
	.max = TIME_MAX_NS,
	.wrong = TIME_WRONG,
	.range = "is out of range; write at most 7d, such as 10s, or 0s to count nothing",
};
const struct conf_value_kind conf_kind_restart_delay = {
	CONF_TIME,
	.min = NSEC_PER_MSEC,
	.max = TIME_MAX_NS,
	.wrong = TIME_WRONG,
	.range = "is out of range; write 1ms to 7d, such as 5s",
};
const struct conf_value_kind conf_kind_window = {
	CONF_TIME,
	.min = NSEC_PER_SEC,
	.max = TIME_MAX_NS,
	.wrong = TIME_WRONG,
	.range = "is out of range; write 1s to 7d, such as 10min",
};
const struct conf_value_kind conf_kind_restart_limit = {
	CONF_NUMBER,
	.min = 2, /* the first crash leads to nothing */
	.max = POLICY_RESTARTS_MAX,
	.none = "infinity",
	.wrong = "is not a number; write one such as 10, or infinity",
	.range = "is out of range; write 2 to 100, such as 10, or infinity",
};
const struct conf_value_kind conf_kind_life = {
	CONF_TIME,	    .min = NSEC_PER_SEC, .max = TIME_MAX_NS,
	.none = "infinity", .wrong = TIME_WRONG, .range = "is out of range; write 1s to 7d, such as 30s, or infinity",
};
const struct conf_value_kind conf_kind_agents = {
	CONF_NUMBER,
	.min = 1,
	.max = AGENTS_MAX,
	.none = "infinity",
	.wrong = "is not a number; write one such as 20, or infinity",
	.range = "is out of range; write 1 to 4096, such as 20, or infinity",
};

static const char *const on_limit_words[] = {
	[POLICY_LIMIT_FREEZE] = "freeze",
	[POLICY_LIMIT_REFUSE] = "refuse",
	[POLICY_LIMIT_ALERT] = "alert",
	NULL,
};
static const char *const on_duplicate_words[] = {
	[POLICY_DUPLICATE_STOP_OLD] = "stop-old",
	[POLICY_DUPLICATE_STOP_NEW] = "stop-new",
	[POLICY_DUPLICATE_ALERT] = "alert",
	NULL,
};
const struct conf_value_kind conf_kind_on_limit = {
	CONF_WORD,
	.words = on_limit_words,
	.wrong = "is not what can be done at the limit; write freeze, refuse or alert",
};
const struct conf_value_kind conf_kind_on_duplicate = {
	CONF_WORD,
	.words = on_duplicate_words,
	.wrong = "is not what can be done with agents of one key; write stop-old, stop-new or alert",
};
