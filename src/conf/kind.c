/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <signal.h>

#include "base/text.h"
#include "conf/value.h"

/* Kinds of values: how to parse one, how to write it, what to say when it is wrong. */

#define MEMORY_MIN (UINT64_C(1) << 20) /* below it not even the dynamic linker runs */
#define GRACE_MAX (86400 * NSEC_PER_SEC)

static int size_parse(const char *text, const struct conf_host *host, void *ret_value)
{
	return unit_parse_size(text, host ? host->memory_bytes : 0, ret_value);
}

static int memory_parse(const char *text, const struct conf_host *host, void *ret_value)
{
	uint64_t bytes;
	int r = size_parse(text, host, &bytes);

	if (r < 0)
		return r;
	if (bytes < MEMORY_MIN)
		return -ERANGE;
	*(uint64_t *)ret_value = bytes;
	return 0;
}

static void size_format(const void *value, char *buffer, size_t size)
{
	unit_format_size(buffer, size, *(const uint64_t *)value);
}

#define SIZE_WRONG                                                                                                     \
	"is not a size; write a number with K, M, G or T, or a percentage of the machine's memory, such as 400M or "   \
	"25%"

const struct conf_value_kind conf_kind_memory = {
	memory_parse, size_format, SIZE_WRONG,
	"is out of range; write 1M or more, at most 100% of the machine's memory, or infinity"};
const struct conf_value_kind conf_kind_swap = {size_parse, size_format, SIZE_WRONG,
					       "is out of range; write 0 or more, at most 100%, or infinity"};

static int weight_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	uint64_t weight = 0;
	int r = streq(text, "default") ? 0 : unit_parse_count(text, &weight);

	if (r < 0)
		return r;
	/* cgroup-v2.rst, cpu.weight */
	if (!streq(text, "default") && (weight < 1 || weight > 10000))
		return -ERANGE;
	*(uint32_t *)ret_value = (uint32_t)weight;
	return 0;
}

static void weight_format(const void *value, char *buffer, size_t size)
{
	uint32_t weight = *(const uint32_t *)value;

	if (weight)
		snprintf(buffer, size, "%" PRIu32, weight);
	else
		text_copy(buffer, size, "default");
}

const struct conf_value_kind conf_kind_weight = {weight_parse, weight_format,
						 "is not a weight; write a number from 1 to 10000, such as 100",
						 "is out of range; write a number from 1 to 10000, such as 100"};

static int cpu_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	uint32_t pct = 0;
	int r = streq(text, "infinity") ? 0 : unit_parse_percent(text, &pct);

	if (r == 0)
		*(uint32_t *)ret_value = pct;
	return r;
}

static void cpu_format(const void *value, char *buffer, size_t size)
{
	uint32_t pct = *(const uint32_t *)value;

	if (pct)
		snprintf(buffer, size, "%" PRIu32 "%%", pct);
	else
		text_copy(buffer, size, "infinity");
}

const struct conf_value_kind conf_kind_cpu = {
	cpu_parse, cpu_format,
	"is not a share of a CPU; write a whole percentage, such as 150% for one and a half CPUs, or infinity",
	"is out of range; write 1% to 100000%, such as 150% for one and a half CPUs"};

static int count_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	uint64_t count;
	int r = unit_parse_count(text, &count);

	if (r < 0)
		return r;
	if (count == 0 || count > INT64_MAX)
		return -ERANGE;
	*(uint64_t *)ret_value = count;
	return 0;
}

static int tasks_parse(const char *text, const struct conf_host *host, void *ret_value)
{
	if (!streq(text, "infinity"))
		return count_parse(text, host, ret_value);
	*(uint64_t *)ret_value = UNIT_INFINITY;
	return 0;
}

static void count_format(const void *value, char *buffer, size_t size)
{
	uint64_t count = *(const uint64_t *)value;

	if (count == UNIT_INFINITY)
		text_copy(buffer, size, "infinity");
	else
		snprintf(buffer, size, "%" PRIu64, count);
}

const struct conf_value_kind conf_kind_tasks = {tasks_parse, count_format,
						"is not a number of tasks; write a number such as 512, or infinity",
						"is out of range; write 1 or more, or infinity"};
const struct conf_value_kind conf_kind_sockets = {tasks_parse, count_format,
						  "is not a number of sockets; write a number such as 100, or infinity",
						  "is out of range; write 1 or more, or infinity"};
const struct conf_value_kind conf_kind_count = {count_parse, count_format, "is not a number; write one such as 1000000",
						"is out of range; write 1 or more"};

/* Those that end a process unless it does something else on them. */
static bool signal_may_end(int number)
{
	static const int never[] = {SIGSTOP, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD, SIGURG, SIGWINCH};

	for (size_t i = 0; i < ELEMENTSOF(never); i++)
		if (never[i] == number)
			return false;
	return true;
}

static int signal_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
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

static void signal_format(const void *value, char *buffer, size_t size)
{
	const char *name = sigabbrev_np(*(const int *)value);

	text_copy(buffer, size, name ? name : "TERM");
}

const struct conf_value_kind conf_kind_signal = {
	signal_parse, signal_format, "is not a signal; write a name such as TERM, INT, QUIT or SIGTERM",
	"does not end a process; write one that does, such as TERM, INT or QUIT"};

static int grace_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	uint64_t ns;
	int r = unit_parse_duration(text, &ns);

	if (r < 0)
		return r;
	if (ns > GRACE_MAX)
		return -ERANGE;
	*(uint64_t *)ret_value = ns;
	return 0;
}

static int keep_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	uint64_t ns;
	int r = unit_parse_duration(text, &ns);

	if (r < 0)
		return r;
	if (ns == 0)
		return -ERANGE;
	*(uint64_t *)ret_value = ns;
	return 0;
}

static void duration_format(const void *value, char *buffer, size_t size)
{
	unit_format_duration(buffer, size, *(const uint64_t *)value);
}

const struct conf_value_kind conf_kind_grace = {
	grace_parse, duration_format, "is not a time; write a number with ms, s, min or h, such as 10s or 2min",
	"is out of range; write at most 1d, such as 10s"};
const struct conf_value_kind conf_kind_keep = {keep_parse, duration_format,
					       "is not a time; write a number with s, min, h or d, such as 12h or 30d",
					       "is out of range; write 1s or more, such as 30d"};

static int runtime_parse(const char *text, const struct conf_host *host, void *ret_value)
{
	if (!streq(text, "infinity"))
		return keep_parse(text, host, ret_value);
	*(uint64_t *)ret_value = UNIT_INFINITY;
	return 0;
}

static void runtime_format(const void *value, char *buffer, size_t size)
{
	if (*(const uint64_t *)value == UNIT_INFINITY)
		text_copy(buffer, size, "infinity");
	else
		duration_format(value, buffer, size);
}

const struct conf_value_kind conf_kind_runtime = {
	runtime_parse, runtime_format, "is not a time; write a number with s, min, h or d, such as 10min, or infinity",
	"is out of range; write more than 0, such as 10min, or infinity"};

static int priority_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
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

static void priority_format(const void *value, char *buffer, size_t size)
{
	snprintf(buffer, size, "%" PRId32, *(const int32_t *)value);
}

const struct conf_value_kind conf_kind_priority = {priority_parse, priority_format,
						   "is not a whole number; write one such as 0, 10 or -5",
						   "is out of range; write a number from -2147483647 to 2147483647"};

static int bool_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

	for (size_t i = 0; i < ELEMENTSOF(words); i++)
		if (streq(text, words[i])) {
			*(bool *)ret_value = i % 2 == 1;
			return 0;
		}
	return -EINVAL;
}

static void bool_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, *(const bool *)value ? "true" : "false");
}

const struct conf_value_kind conf_kind_bool = {bool_parse, bool_format, "is neither true nor false; write one of them",
					       NULL};

static int mode_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	if (!streq(text, "enforce") && !streq(text, "observe"))
		return -EINVAL;
	*(enum policy_mode *)ret_value = streq(text, "observe") ? POLICY_OBSERVE : POLICY_ENFORCE;
	return 0;
}

static void mode_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, *(const enum policy_mode *)value == POLICY_OBSERVE ? "observe" : "enforce");
}

static int hold_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	if (!streq(text, "auto") && !streq(text, "never"))
		return -EINVAL;
	*(enum policy_hold *)ret_value = streq(text, "never") ? POLICY_HOLD_NEVER : POLICY_HOLD_AUTO;
	return 0;
}

static void hold_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, *(const enum policy_hold *)value == POLICY_HOLD_NEVER ? "never" : "auto");
}

static const char *const placement_words[] = {
	[POLICY_PLACEMENT_AUTO] = "auto",
	[POLICY_PLACEMENT_SCOPE] = "scope",
	[POLICY_PLACEMENT_NESTED] = "nested",
	[POLICY_PLACEMENT_NONE] = "none",
};

static int placement_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	for (unsigned i = 0; i < ELEMENTSOF(placement_words); i++)
		if (streq(text, placement_words[i])) {
			*(enum policy_placement *)ret_value = (enum policy_placement)i;
			return 0;
		}
	return -EINVAL;
}

static void placement_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, placement_words[*(const enum policy_placement *)value]);
}

const struct conf_value_kind conf_kind_placement = {
	placement_parse, placement_format, "is not where an agent can go; write auto, scope, nested or none", NULL};
const struct conf_value_kind conf_kind_mode = {mode_parse, mode_format, "is not a mode; write enforce or observe",
					       NULL};
const struct conf_value_kind conf_kind_hold = {hold_parse, hold_format, "is not a way to hold; write auto or never",
					       NULL};

static const char *const on_oom_words[] = {
	[POLICY_OOM_KERNEL] = "kernel", [POLICY_OOM_KILL_AGENT] = "kill-agent", [POLICY_OOM_KILL_TOOL] = "kill-tool"};

static int on_oom_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	for (size_t i = 0; i < ELEMENTSOF(on_oom_words); i++)
		if (streq(text, on_oom_words[i])) {
			*(enum policy_on_oom *)ret_value = (enum policy_on_oom)i;
			return 0;
		}
	return -EINVAL;
}

static void on_oom_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, on_oom_words[*(const enum policy_on_oom *)value]);
}

const struct conf_value_kind conf_kind_on_oom = {
	on_oom_parse, on_oom_format,
	"is not what can be done when it is out of memory; write kill-tool, kill-agent or kernel", NULL};

static const char *const pressure_words[] = {
	[POLICY_PRESSURE_NOTE] = "note",     [POLICY_PRESSURE_RECLAIM] = "reclaim", [POLICY_PRESSURE_HIGH] = "high",
	[POLICY_PRESSURE_FREEZE] = "freeze", [POLICY_PRESSURE_STOP] = "stop",
};

static int on_pressure_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	for (unsigned i = 0; i < ELEMENTSOF(pressure_words); i++)
		if (streq(text, pressure_words[i])) {
			*(enum policy_pressure *)ret_value = (enum policy_pressure)i;
			return 0;
		}
	return -EINVAL;
}

static void on_pressure_format(const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, pressure_words[*(const enum policy_pressure *)value]);
}

const struct conf_value_kind conf_kind_on_pressure = {
	on_pressure_parse, on_pressure_format,
	"is not what can be done under memory pressure; write note, reclaim, high, freeze or stop", NULL};
