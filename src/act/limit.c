/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/internal.h"
#include "base/file.h"

/* A policy's limits as the kernel's files: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. */

#define CPU_PERIOD_US 100000U
#define CPU_SHARES_DEFAULT 1024U /* of v1; a weight's default in v2 is 100 */
#define CPU_WEIGHT_DEFAULT 100U

const struct policy_limits limit_none = {
	.memory_high_bytes = UNIT_INFINITY,
	.memory_max_bytes = UNIT_INFINITY,
	.swap_max_bytes = UNIT_INFINITY,
	.tasks_max = UNIT_INFINITY,
};

struct knob {
	enum controller controller;
	const char *file, *none; /* none: what a new group has */
	uint64_t (*value)(const struct policy_limits *limits);
	const char *suffix;
};

static uint64_t memory_max(const struct policy_limits *limits)
{
	return limits->memory_max_bytes;
}

static uint64_t memory_high(const struct policy_limits *limits)
{
	return limits->memory_high_bytes;
}

static uint64_t swap_max(const struct policy_limits *limits)
{
	return limits->swap_max_bytes;
}

/* v1 counts memory and swap together. */
static uint64_t memory_swap(const struct policy_limits *limits)
{
	uint64_t sum;

	if (limits->swap_max_bytes == UNIT_INFINITY || limits->memory_max_bytes == UNIT_INFINITY ||
	    __builtin_add_overflow(limits->swap_max_bytes, limits->memory_max_bytes, &sum))
		return UNIT_INFINITY;
	return sum;
}

static uint64_t memory_oom_group(const struct policy_limits *limits)
{
	return limits->on_oom == POLICY_OOM_KILL_AGENT ? 1 : UNIT_INFINITY;
}

static uint64_t tasks_max(const struct policy_limits *limits)
{
	return limits->tasks_max;
}

static uint64_t cpu_weight(const struct policy_limits *limits)
{
	return limits->cpu_weight ? limits->cpu_weight : UNIT_INFINITY;
}

static uint64_t cpu_shares(const struct policy_limits *limits)
{
	if (!limits->cpu_weight)
		return UNIT_INFINITY;
	return MAX2((uint64_t)limits->cpu_weight * CPU_SHARES_DEFAULT / CPU_WEIGHT_DEFAULT, 2U);
}

static uint64_t cpu_quota_us(const struct policy_limits *limits)
{
	return limits->cpu_max_pct ? (uint64_t)limits->cpu_max_pct * (CPU_PERIOD_US / 100) : UNIT_INFINITY;
}

static const struct knob knobs_v2[] = {
	{CONTROLLER_MEMORY, "memory.high", "max", memory_high, ""},
	{CONTROLLER_MEMORY, "memory.max", "max", memory_max, ""},
	{CONTROLLER_MEMORY, "memory.swap.max", "max", swap_max, ""},
	{CONTROLLER_MEMORY, "memory.oom.group", "0", memory_oom_group, ""}, /* v1 has none: the core does it */
	{CONTROLLER_PIDS, "pids.max", "max", tasks_max, ""},
	{CONTROLLER_CPU, "cpu.weight", "100", cpu_weight, ""},
	{CONTROLLER_CPU, "cpu.max", "max", cpu_quota_us, " 100000"},
};

#define LIMIT_FILE "memory.limit_in_bytes"
#define SWAP_FILE "memory.memsw.limit_in_bytes"

static const struct knob knobs_v1[] = {
	{CONTROLLER_MEMORY, "memory.soft_limit_in_bytes", "-1", memory_high, ""},
	{CONTROLLER_MEMORY, LIMIT_FILE, "-1", memory_max, ""},
	{CONTROLLER_MEMORY, SWAP_FILE, "-1", memory_swap, ""},
	{CONTROLLER_PIDS, "pids.max", "max", tasks_max, ""},
	{CONTROLLER_CPU, "cpu.shares", "1024", cpu_shares, ""},
	{CONTROLLER_CPU, "cpu.cfs_quota_us", "-1", cpu_quota_us, ""},
};

static int knob_write(const struct knob *knob, int dir_fd, const struct policy_limits *limits)
{
	uint64_t value = knob->value(limits);

	if (value == UNIT_INFINITY)
		return file_writef(dir_fd, knob->file, "%s%s", knob->none, knob->suffix);
	return file_writef(dir_fd, knob->file, "%llu%s", (unsigned long long)value, knob->suffix);
}

/* v1 holds memsw >= limit at every moment (EINVAL otherwise): when raising, memsw has to go first. */
static int knob_write_v1(const struct knob *knob, int dir_fd, const struct policy_limits *limits)
{
	int r = knob_write(knob, dir_fd, limits);

	if (r != -EINVAL || !streq(knob->file, LIMIT_FILE))
		return r;
	/* The next knob is memsw; it is written again in its turn, which changes nothing. */
	r = knob_write(knob + 1, dir_fd, limits);
	return r < 0 ? r : knob_write(knob, dir_fd, limits);
}

/*
 * What this kernel doesn't have or the groups above don't allow degrades: no swap accounting (ENOENT), no soft limit
 * (EOPNOTSUPP, PREEMPT_RT), a quota above the parent's (EINVAL).
 */
static bool is_degradation(int r)
{
	return r == -ENOENT || r == -EOPNOTSUPP || r == -EINVAL;
}

int limit_apply(struct groups *groups, int dir_fd, int where, const struct policy_limits *limits, bool is_fresh)
{
	const struct knob *knobs = where < 0 ? knobs_v2 : knobs_v1;
	size_t n = where < 0 ? ELEMENTSOF(knobs_v2) : ELEMENTSOF(knobs_v1);
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		const struct knob *knob = &knobs[i];
		bool is_none = knob->value(limits) == UNIT_INFINITY;
		int at = groups->layout.where[knob->controller], r;

		if (at == WHERE_NONE && where < 0 && !is_none)
			groups->counts.degraded++;
		if (at != where || (is_fresh && is_none))
			continue;
		r = where < 0 ? knob_write(knob, dir_fd, limits) : knob_write_v1(knob, dir_fd, limits);
		if (r == 0 || (is_none && is_degradation(r)))
			continue;
		if (is_degradation(r))
			groups->counts.degraded++;
		else if (first == 0)
			first = r;
	}
	return first;
}

int limit_apply_oom(int dir_fd, bool is_whole)
{
	return file_write(dir_fd, "memory.oom.group", is_whole ? "1" : "0");
}

bool limit_needs(const struct hierarchy *hierarchy, const struct policy_limits *limits)
{
	/* Memory always: list and show tell its use. */
	if (hierarchy->controllers & 1U << CONTROLLER_MEMORY)
		return true;
	for (size_t i = 0; i < ELEMENTSOF(knobs_v1); i++)
		if (hierarchy->controllers & 1U << knobs_v1[i].controller && knobs_v1[i].value(limits) != UNIT_INFINITY)
			return true;
	return false;
}
