/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/restart.h"

#include "base/text.h"

/* FNV-1a, 64 bits (Fowler, Noll, Vo): it must be the same in the next run of govd, and a name is no secret. */
#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ ((const unsigned char *)bytes)[i]) * FNV_PRIME;
	return hash;
}

/* With its NUL, so that what stands in one part can't be taken for the beginning of the next. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	return hash_bytes(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}

uint64_t restart_id(const struct restart_name *name)
{
	uint64_t hash = hash_text(FNV_OFFSET, name->policy);

	if (!str_empty(name->key)) {
		hash = hash_text(hash, name->key);
	} else {
		hash = hash_text(hash, "");
		hash = hash_text(hash, name->program);
		hash = hash_text(hash, name->directory);
		hash = hash_bytes(hash, &name->uid, sizeof(name->uid));
	}
	return hash ? hash : 1;
}

uint64_t restart_own_ns(const struct restart *restart, uint64_t now_ns)
{
	uint64_t delayed_ns = restart->delayed_ns;

	if (restart->delays && now_ns > restart->delay_since_ns)
		delayed_ns += now_ns - restart->delay_since_ns;
	return now_ns > delayed_ns ? now_ns - delayed_ns : 0;
}

static void drop_oldest(struct restart *restart, size_t n)
{
	n = MIN2(n, restart->n_crashes);
	if (!n)
		return;
	restart->n_crashes -= (uint32_t)n;
	memmove(restart->crash_ns, restart->crash_ns + n, restart->n_crashes * sizeof(restart->crash_ns[0]));
}

static size_t count_over(const struct restart *restart, const struct policy_restart *rule, uint64_t own_ns)
{
	size_t n = 0;

	while (n < restart->n_crashes && own_ns >= restart->crash_ns[n] &&
	       own_ns - restart->crash_ns[n] >= rule->window_ns)
		n++;
	return n;
}

size_t restart_count(const struct restart *restart, const struct policy_restart *rule, uint64_t now_ns)
{
	return restart->n_crashes - count_over(restart, rule, restart_own_ns(restart, now_ns));
}

static uint64_t delay_of(const struct policy_restart *rule, size_t crashes, uint32_t random)
{
	uint64_t delay_ns = MIN2(rule->delay_ns, rule->max_delay_ns);

	/* At most 98 rounds, and nothing overflows: a delay is at most 2^57 ns (a year), the factor at most 100. */
	for (size_t i = 2; i < crashes && delay_ns < rule->max_delay_ns; i++)
		delay_ns = MIN2(delay_ns / 1000 * rule->factor_milli, rule->max_delay_ns);
	return delay_ns - (delay_ns >> 18) * (random & 0xffff);
}

enum restart_verdict restart_decide(const struct restart *restart, const struct policy_restart *rule, uint64_t now_ns,
				    uint32_t random, uint64_t *ret_delay_ns)
{
	size_t crashes = restart_count(restart, rule, now_ns);

	*ret_delay_ns = 0;
	if (rule->limit && crashes >= rule->limit && rule->on_limit != POLICY_LIMIT_ALERT)
		return RESTART_LIMIT;
	if (crashes < 2)
		return RESTART_RUN;
	*ret_delay_ns = delay_of(rule, crashes, random);
	return *ret_delay_ns ? RESTART_DELAY : RESTART_RUN;
}

void restart_end(struct restart *restart, const struct policy_restart *rule, uint64_t lived_ns, uint64_t now_ns)
{
	uint64_t own_ns = restart_own_ns(restart, now_ns);

	restart->used_ns = now_ns;
	drop_oldest(restart, count_over(restart, rule, own_ns));
	if (!rule->min_uptime_ns)
		return;
	if (lived_ns >= rule->min_uptime_ns) {
		drop_oldest(restart, (size_t)MIN2(lived_ns / rule->min_uptime_ns, (uint64_t)RESTART_CRASHES_MAX));
		return;
	}
	restart_add_crash(restart, own_ns);
}

void restart_add_crash(struct restart *restart, uint64_t own_ns)
{
	if (restart->n_crashes == RESTART_CRASHES_MAX)
		drop_oldest(restart, 1);
	if (restart->n_crashes == restart->crashes_size) {
		uint32_t size =
			MIN2(restart->crashes_size ? 2 * restart->crashes_size : 4U, (uint32_t)RESTART_CRASHES_MAX);
		uint64_t *crash_ns = reallocarray(restart->crash_ns, size, sizeof(*crash_ns));

		if (!crash_ns)
			return;
		restart->crash_ns = crash_ns;
		restart->crashes_size = size;
	}
	restart->crash_ns[restart->n_crashes++] = own_ns;
}

void restart_done(struct restart *restart)
{
	free(restart->crash_ns);
	*restart = (struct restart){0};
}

void restart_free(struct restart *restart)
{
	restart_done(restart);
	free(restart);
}

void restart_delay_begin(struct restart *restart, uint64_t now_ns)
{
	if (!restart->delays++)
		restart->delay_since_ns = now_ns;
}

void restart_delay_end(struct restart *restart, uint64_t now_ns)
{
	if (restart->delays && !--restart->delays && now_ns > restart->delay_since_ns)
		restart->delayed_ns += now_ns - restart->delay_since_ns;
}

void restart_forgive(struct restart *restart)
{
	restart->n_crashes = 0;
}
