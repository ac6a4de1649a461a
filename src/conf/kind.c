/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <signal.h>

#include "base/text.h"
#include "conf/value.h"

/* Kinds of values: how to parse one, how to write it, what to say when it is wrong. */

#define MEMORY_MIN (UINT64_C(1) << 20) /* below it not even the dynamic linker runs */
#define GRACE_MAX (86400 * NSEC_PER_SEC)

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static int size_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host,
		      void *ret_value)
{
	uint64_t bytes;
	int r = unit_parse_size(text, host ? host->memory_bytes : 0, &bytes);

	if (r < 0)
		return r;
	if (bytes < kind->min)
		return -ERANGE;
	*(uint64_t *)ret_value = bytes;
	return 0;
}

static void size_format(const struct conf_value_kind *kind _unused_, const void *value, char *buffer, size_t size)
{
	unit_format_size(buffer, size, *(const uint64_t *)value);
}

#define SIZE .parse = size_parse, .format = size_format, .wrong = SIZE_WRONG
#define SIZE_WRONG                                                                                                     \
	"is not a size; write a number with K, M, G or T, or a percentage of the machine's memory, such as 400M or "   \
	"25%"

const struct conf_value_kind conf_kind_memory = {
	SIZE,
	.min = MEMORY_MIN,
	.range = "is out of range; write 1M or more, at most 100% of the machine's memory, or infinity",
};
const struct conf_value_kind conf_kind_swap = {
	SIZE,
	.range = "is out of range; write 0 or more, at most 100%, or infinity",
};

static const char *const on_oom_words[] = {
	[POLICY_OOM_KERNEL] = "kernel",
	[POLICY_OOM_KILL_AGENT] = "kill-agent",
	[POLICY_OOM_KILL_TOOL] = "kill-tool",
	NULL,
};
static const char *const on_pressure_words[] = {
	[POLICY_PRESSURE_NOTE] = "note",     [POLICY_PRESSURE_RECLAIM] = "reclaim", [POLICY_PRESSURE_HIGH] = "high",
	[POLICY_PRESSURE_FREEZE] = "freeze", [POLICY_PRESSURE_STOP] = "stop",	    NULL,
};
const struct conf_value_kind conf_kind_on_oom = {
	CONF_WORD,
	.words = on_oom_words,
	.wrong = "is not what can be done when it is out of memory; write kill-tool, kill-agent or kernel",
};
const struct conf_value_kind conf_kind_on_pressure = {
	CONF_WORD,
	.words = on_pressure_words,
	.wrong = "is not what can be done under memory pressure; write note, reclaim, high, freeze or stop",
};

/* ---- other limits ------------------------------------------------------------------------------------------------ */

const struct conf_value_kind conf_kind_weight = {
	CONF_NUMBER,
	.min = 1,
	.max = 10000, /* cgroup-v2.rst, cpu.weight */
	.none = "default",
	.wrong = "is not a weight; write a number from 1 to 10000, such as 100",
	.range = "is out of range; write a number from 1 to 10000, such as 100",
};
const struct conf_value_kind conf_kind_cpu = {
	CONF_PERCENT,
	.max = UINT32_MAX, /* less is what unit_parse_percent() takes */
	.none = "infinity",
	.wrong = "is not a share of a CPU; write a whole percentage, such as 150% for one and a half CPUs, or infinity",
	.range = "is out of range; write 1% to 100000%, such as 150% for one and a half CPUs",
};
const struct conf_value_kind conf_kind_tasks = {
	CONF_COUNT,
	.min = 1,
	.max = INT64_MAX,
	.none = "infinity",
	.none_value = UNIT_INFINITY,
	.wrong = "is not a number of tasks; write a number such as 512, or infinity",
	.range = "is out of range; write 1 or more, or infinity",
};
const struct conf_value_kind conf_kind_sockets = {
	CONF_COUNT,
	.min = 1,
	.max = INT64_MAX,
	.none = "infinity",
	.none_value = UNIT_INFINITY,
	.wrong = "is not a number of sockets; write a number such as 100, or infinity",
	.range = "is out of range; write 1 or more, or infinity",
};
const struct conf_value_kind conf_kind_count = {
	CONF_COUNT,
	.min = 1,
	.max = INT64_MAX,
	.wrong = "is not a number; write one such as 1000000",
	.range = "is out of range; write 1 or more",
};
const struct conf_value_kind conf_kind_runtime = {
	CONF_TIME,
	.min = 1,
	.max = UINT64_MAX,
	.none = "infinity",
	.none_value = UNIT_INFINITY,
	.wrong = "is not a time; write a number with s, min, h or d, such as 10min, or infinity",
	.range = "is out of range; write more than 0, such as 10min, or infinity",
};
const struct conf_value_kind conf_kind_keep = {
	CONF_TIME,
	.min = 1,
	.max = UINT64_MAX,
	.wrong = "is not a time; write a number with s, min, h or d, such as 12h or 30d",
	.range = "is out of range; write 1s or more, such as 30d",
};

/* ---- ends -------------------------------------------------------------------------------------------------------- */

/* Those that end a process unless it does something else on them. */
static bool signal_may_end(int number)
{
	static const int never[] = {SIGSTOP, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD, SIGURG, SIGWINCH};

	for (size_t i = 0; i < ELEMENTSOF(never); i++)
		if (never[i] == number)
			return false;
	return true;
}

static int signal_parse(const struct conf_value_kind *kind _unused_, const char *text,
			const struct conf_host *host _unused_, void *ret_value)
{
	const char *name = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;

	for (int number = 1; number < 32; number++) {
		const char *known = sigabbrev_np(number);

		if (!known || !streq(known, name))
			continue;
		if (!signal_may_end(number))
			return -ERANGE;
		*(int *)ret_value = number;
		return 0;
	}
	return -EINVAL;
}

static void signal_format(const struct conf_value_kind *kind _unused_, const void *value, char *buffer, size_t size)
{
	const char *name = sigabbrev_np(*(const int *)value);

	text_copy(buffer, size, name ? name : "TERM");
}

const struct conf_value_kind conf_kind_signal = {
	.parse = signal_parse,
	.format = signal_format,
	.wrong = "is not a signal; write a name such as TERM, INT, QUIT or SIGTERM",
	.range = "does not end a process; write one that does, such as TERM, INT or QUIT",
};
const struct conf_value_kind conf_kind_grace = {
	CONF_TIME,
	.max = GRACE_MAX,
	.wrong = "is not a time; write a number with ms, s, min or h, such as 10s or 2min",
	.range = "is out of range; write at most 1d, such as 10s",
};

static int priority_parse(const struct conf_value_kind *kind _unused_, const char *text,
			  const struct conf_host *host _unused_, void *ret_value)
{
	bool is_negative = *text == '-';
	uint64_t number;
	int r = unit_parse_count(text + is_negative, &number);

	if (r < 0)
		return r;
	if (number > INT32_MAX)
		return -ERANGE;
	*(int32_t *)ret_value = is_negative ? -(int32_t)number : (int32_t)number;
	return 0;
}

static void priority_format(const struct conf_value_kind *kind _unused_, const void *value, char *buffer, size_t size)
{
	snprintf(buffer, size, "%" PRId32, *(const int32_t *)value);
}

const struct conf_value_kind conf_kind_priority = {
	.parse = priority_parse,
	.format = priority_format,
	.wrong = "is not a whole number; write one such as 0, 10 or -5",
	.range = "is out of range; write a number from -2147483647 to 2147483647",
};

/* ---- words ------------------------------------------------------------------------------------------------------- */

static int bool_parse(const struct conf_value_kind *kind _unused_, const char *text,
		      const struct conf_host *host _unused_, void *ret_value)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

	for (size_t i = 0; i < ELEMENTSOF(words); i++)
		if (streq(text, words[i])) {
			*(bool *)ret_value = i % 2 == 1;
			return 0;
		}
	return -EINVAL;
}

static void bool_format(const struct conf_value_kind *kind _unused_, const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, *(const bool *)value ? "true" : "false");
}

const struct conf_value_kind conf_kind_bool = {
	.parse = bool_parse,
	.format = bool_format,
	.wrong = "is neither true nor false; write one of them",
};

static const char *const mode_words[] = {[POLICY_ENFORCE] = "enforce", [POLICY_OBSERVE] = "observe", NULL};
static const char *const hold_words[] = {[POLICY_HOLD_AUTO] = "auto", [POLICY_HOLD_NEVER] = "never", NULL};
static const char *const placement_words[] = {
	[POLICY_PLACEMENT_AUTO] = "auto",
	[POLICY_PLACEMENT_SCOPE] = "scope",
	[POLICY_PLACEMENT_NESTED] = "nested",
	[POLICY_PLACEMENT_NONE] = "none",
	NULL,
};
const struct conf_value_kind conf_kind_mode = {
	CONF_WORD,
	.words = mode_words,
	.wrong = "is not a mode; write enforce or observe",
};
const struct conf_value_kind conf_kind_hold = {
	CONF_WORD,
	.words = hold_words,
	.wrong = "is not a way to hold; write auto or never",
};
const struct conf_value_kind conf_kind_placement = {
	CONF_WORD,
	.words = placement_words,
	.wrong = "is not where an agent can go; write auto, scope, nested or none",
};
