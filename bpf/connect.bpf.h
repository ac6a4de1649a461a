/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GOV_CONNECT_BPF_H
#define GOV_CONNECT_BPF_H

#include "connect_maps.bpf.h"

/*
 * What connect.bpf.c (agents' groups) and watch.bpf.c (those who are only observed) have in common. The large functions
 * are global ones: the verifier looks at each by itself, once; inlined their paths multiply beyond its limit. That
 * of 6.1 takes no map key in memory that such a function was handed: they copy keys. All of this runs in every connect
 * of an agent: what was looked up once is handed on, but for entries, whose lock must not be in memory that is handed
 * on.
 */

#define EEXIST 17 /* include/uapi/asm-generic/errno-base.h */
#define GLOBAL_FUNCTION __weak __attribute__((noinline))

/* A whole entry of zeros: its lock must not be on the stack. */
static const char connect_nothing[sizeof(struct gov_connect_entry)];

/* Waits shorter than this aren't worth a lost SYN. */
#define WAIT_MIN_NS 2000000

static __always_inline void connect_tell(const struct gov_connect_key *key, __u32 pid, __u32 reasons)
{
	struct gov_record_connect record = {};

	if (!reasons)
		return;
	record.head.kind = GOV_RECORD_CONNECT;
	record.head.version = GOV_RECORD_VERSION;
	record.head.size = sizeof(record);
	record.head.time_ns = bpf_ktime_get_ns();
	record.head.cgroup_id = key->owner & GOV_OWNER_MARK ? 0 : key->owner;
	record.head.mark = key->owner & GOV_OWNER_MARK ? key->owner & ~GOV_OWNER_MARK : 0;
	record.head.pid = pid;
	record.key = *key;
	record.reasons = reasons;
	record_send(&record.head, sizeof(record), BPF_RB_FORCE_WAKEUP);
}

static __always_inline void connect_count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* Userspace, which looks for old entries then, is told so often. */
#define FULL_AGAIN_NS 10000000000ULL

/* Makes the entry of key if there is none; where there are too many, key becomes that of the one that all further ones
 * share. */
GLOBAL_FUNCTION int connect_make_entry(struct gov_connect_key *of, __u32 slot)
{
	struct gov_connect_stats *stats = bpf_map_lookup_elem(&gov_connect_stats, &slot);
	struct gov_connect_entry *others;
	struct gov_connect_key key;
	__u64 now_ns;
	long r;

	if (!of || !stats)
		return 0;
	key = *of;
	if (bpf_map_lookup_elem(&gov_connect_entries, &key))
		return 0;
	if (stats->destinations < GOV_CONNECT_DESTINATIONS_MAX) {
		r = bpf_map_update_elem(&gov_connect_entries, &key, connect_nothing, BPF_NOEXIST);
		if (r == 0)
			connect_count(&stats->destinations);
		/* -EEXIST: another processor's connect was first. */
		if (r == 0 || r == -EEXIST)
			return 0;
	}
	__builtin_memset(key.address, 0, sizeof(key.address));
	key.port = 0;
	key.kind = GOV_CONNECT_OTHERS;
	*of = key;
	bpf_map_update_elem(&gov_connect_entries, &key, connect_nothing, BPF_NOEXIST);
	others = bpf_map_lookup_elem(&gov_connect_entries, &key);
	now_ns = bpf_ktime_get_ns();
	if (!others || (others->full_ns && now_ns - others->full_ns < FULL_AGAIN_NS))
		return 0;
	others->full_ns = now_ns;
	connect_tell(&key, 0, GOV_REASON_FULL);
	return 0;
}

static __always_inline bool connect_is_shared(const struct gov_connect_agent *agent)
{
	return agent->flags & (GOV_CONNECT_PER_PORT | GOV_CONNECT_PER_AGENT);
}

/* The key of the schedule that several destinations share. */
static __always_inline void connect_shared_key(struct gov_connect_key *shared, const struct gov_connect_key *key,
					       const struct gov_connect_agent *agent)
{
	__builtin_memset(shared, 0, sizeof(*shared));
	shared->owner = key->owner;
	shared->is_udp = key->is_udp;
	shared->kind = GOV_CONNECT_AGENT;
	if (agent->flags & GOV_CONNECT_PER_PORT) {
		shared->kind = GOV_CONNECT_PORT;
		shared->port = key->port;
	}
}

/* The rate of one destination by itself. */
static __always_inline struct gov_pace_rate connect_own_rate(const struct gov_connect_agent *agent)
{
	struct gov_pace_rate none = {};

	return connect_is_shared(agent) ? none : agent->rate;
}

enum connect_turn_flags {
	TURN_WAITS = 1 << 0,  /* it may not leave at once */
	TURN_EXCESS = 1 << 1, /* it would have to wait for longer than max_delay */
};

/* One connect, or one new flow of UDP. */
struct connect_turn {
	struct gov_connect_key key; /* becomes that of the entry */
	__u64 now_ns;
	__u64 depart_ns, slot, shared_slot;
	__u32 flags;
	__u32 reasons;
};

/* With the lock held: a slot, unless it is later than latest_ns. Returns it, or 0. */
static __always_inline __u64 connect_take(struct gov_pace *pace, const struct gov_pace_rate *rate, __u64 now_ns,
					  __u64 latest_ns, __u64 *depart_ns)
{
	struct gov_pace_slot slot = gov_pace_peek(pace, rate, now_ns);

	*depart_ns = gov_pace_max(*depart_ns, slot.depart_ns);
	if (*depart_ns > latest_ns)
		return 0;
	gov_pace_take(pace, rate, slot.slot);
	return slot.slot;
}

/* The slot of the schedule that is shared. */
GLOBAL_FUNCTION int connect_reserve_shared(struct connect_turn *turn, const struct gov_connect_agent *agent)
{
	struct gov_connect_entry *entry;
	struct gov_connect_key own, key;
	__u64 now_ns, depart_ns, slot;
	struct gov_pace_rate rate;

	if (!turn || !agent)
		return 0;
	own = turn->key;
	rate = agent->rate;
	connect_shared_key(&key, &own, agent);
	connect_make_entry(&key, agent->slot);
	entry = bpf_map_lookup_elem(&gov_connect_entries, &key);
	if (!entry)
		return 0;
	now_ns = depart_ns = turn->now_ns;
	bpf_spin_lock(&entry->lock);
	slot = connect_take(&entry->pace, &rate, now_ns, gov_pace_add(now_ns, agent->max_delay_ns), &depart_ns);
	entry->last_ns = now_ns;
	bpf_spin_unlock(&entry->lock);
	turn->shared_slot = slot;
	turn->depart_ns = depart_ns;
	return 0;
}

/* With the lock held: counts one attempt and says what is worth telling. */
static __always_inline __u32 connect_note(struct gov_connect_entry *entry, const struct gov_connect_agent *agent,
					  bool waits, __u64 now_ns)
{
	struct gov_burst *burst = &entry->burst;
	__u32 reasons = 0;

	entry->attempts++;
	entry->delayed += waits;
	entry->last_ns = now_ns;
	gov_burst_count(burst, waits, now_ns);
	if (gov_burst_is_storm(burst)) {
		if (!entry->storm_ns) {
			entry->storm_ns = now_ns;
			reasons |= GOV_REASON_STORM;
		}
	} else if (burst->last_attempts < GOV_STORM_ATTEMPTS) {
		entry->storm_ns = 0;
	}
	if (agent->new_max && burst->attempts == agent->new_max) {
		entry->rate_ns = now_ns;
		reasons |= GOV_REASON_RATE;
	}
	return reasons;
}

/* When may this connect leave? Fills turn, whose depart_ns is the earliest by other schedules (0: none). -1: it has no
 * entry yet. */
GLOBAL_FUNCTION int connect_reserve(struct connect_turn *turn, const struct gov_connect_agent *agent)
{
	__u64 now_ns, latest_ns, depart_ns, slot;
	struct gov_connect_entry *entry;
	__u32 random, reasons = 0;
	struct gov_connect_key key;
	struct gov_pace_rate rate;
	bool waits;

	if (!turn || !agent)
		return 0;
	key = turn->key;
	entry = bpf_map_lookup_elem(&gov_connect_entries, &key);
	if (!entry)
		return -1;
	now_ns = turn->now_ns;
	random = entry->breaker.interval_ns ? bpf_get_prandom_u32() : 0;
	latest_ns = gov_pace_add(now_ns, agent->max_delay_ns);
	depart_ns = gov_pace_max(turn->depart_ns, now_ns);
	rate = connect_own_rate(agent);
	bpf_spin_lock(&entry->lock);
	if (gov_breaker_settle(&entry->breaker, &agent->breaker, now_ns))
		reasons |= GOV_REASON_BREAKER;
	rate = gov_breaker_rate(&entry->breaker, &rate, random);
	slot = connect_take(&entry->pace, &rate, now_ns, latest_ns, &depart_ns);
	waits = depart_ns > now_ns + WAIT_MIN_NS;
	reasons |= connect_note(entry, agent, waits, now_ns);
	if (!waits)
		gov_breaker_leave(&entry->breaker);
	bpf_spin_unlock(&entry->lock);
	turn->flags = (waits ? TURN_WAITS : 0) | (depart_ns > latest_ns ? TURN_EXCESS : 0);
	turn->depart_ns = gov_pace_min(depart_ns, latest_ns);
	turn->slot = slot;
	turn->reasons = reasons;
	return 0;
}

/* Both schedules, counters, and what is worth telling. */
static __always_inline void connect_enter(struct connect_turn *turn, const struct gov_connect_agent *agent,
					  struct gov_connect_stats *stats)
{
	if (connect_is_shared(agent))
		connect_reserve_shared(turn, agent);
	if (connect_reserve(turn, agent) < 0) {
		connect_make_entry(&turn->key, agent->slot);
		connect_reserve(turn, agent);
	}
	connect_count(&stats->connects);
	connect_tell(&turn->key, 0, turn->reasons);
}

/* Gives back what a connect has reserved that never left. */
GLOBAL_FUNCTION int connect_refund(struct connect_sock *sock, const struct gov_connect_agent *agent)
{
	struct gov_connect_entry *entry;
	struct gov_connect_key own, key;
	__u64 slot, now_ns = bpf_ktime_get_ns();
	struct gov_pace_rate rate;

	if (!sock || !agent)
		return 0;
	own = sock->key;
	rate = connect_own_rate(agent);
	slot = sock->slot;
	entry = bpf_map_lookup_elem(&gov_connect_entries, &own);
	if (entry && slot) {
		bpf_spin_lock(&entry->lock);
		/* Also an open breaker's: else whose own timeout is shorter than its interval would never leave. */
		gov_pace_refund(&entry->pace, &rate, slot, now_ns);
		bpf_spin_unlock(&entry->lock);
	}
	slot = sock->shared_slot;
	if (!slot)
		return 0;
	connect_shared_key(&key, &own, agent);
	rate = agent->rate;
	entry = bpf_map_lookup_elem(&gov_connect_entries, &key);
	if (!entry)
		return 0;
	bpf_spin_lock(&entry->lock);
	gov_pace_refund(&entry->pace, &rate, slot, now_ns);
	bpf_spin_unlock(&entry->lock);
	return 0;
}

/* What has come of it (enum gov_outcome), to the entry and to its breaker. */
GLOBAL_FUNCTION int connect_learn(struct connect_sock *sock, const struct gov_connect_agent *agent, __u32 outcome,
				  __u64 now_ns)
{
	struct gov_connect_entry *entry;
	struct gov_connect_key key;
	struct gov_pace_rate none = {}, rate;
	__u32 random = 0;
	__u64 left_ns;
	bool has_changed, is_probe;

	if (!sock || !agent)
		return 0;
	key = sock->key;
	entry = bpf_map_lookup_elem(&gov_connect_entries, &key);
	if (!entry)
		return 0;
	/* Only these stretch an interval. */
	if (outcome == GOV_OUTCOME_FAILED || outcome == GOV_OUTCOME_DROPPED)
		random = bpf_get_prandom_u32();
	left_ns = sock->left_ns;
	bpf_spin_lock(&entry->lock);
	entry->established += outcome == GOV_OUTCOME_ESTABLISHED;
	entry->failed += outcome == GOV_OUTCOME_FAILED;
	entry->dropped += outcome == GOV_OUTCOME_DROPPED;
	if (outcome == GOV_OUTCOME_ESTABLISHED)
		entry->open++;
	else if (outcome != GOV_OUTCOME_FAILED && entry->open)
		entry->open--;
	gov_burst_turn(&entry->burst, now_ns);
	entry->burst.failed += outcome == GOV_OUTCOME_FAILED || outcome == GOV_OUTCOME_DROPPED;
	has_changed = gov_breaker_outcome(&entry->breaker, &agent->breaker, outcome, left_ns, now_ns);
	if (has_changed && entry->breaker.interval_ns) {
		rate = gov_breaker_rate(&entry->breaker, &none, random);
		gov_pace_push(&entry->pace, gov_pace_add(now_ns, rate.interval_ns));
	}
	/* The first that has come through: half-open, until it has lived or not. */
	is_probe = outcome == GOV_OUTCOME_ESTABLISHED && entry->breaker.interval_ns && entry->breaker.alive == 1;
	bpf_spin_unlock(&entry->lock);
	if (has_changed || is_probe)
		connect_tell(&key, 0, GOV_REASON_BREAKER);
	return 0;
}

static __always_inline void connect_count_outcome(struct gov_connect_stats *stats, enum gov_outcome outcome)
{
	if (outcome == GOV_OUTCOME_ESTABLISHED)
		connect_count(&stats->established);
	else if (outcome == GOV_OUTCOME_FAILED)
		connect_count(&stats->failed);
	else if (outcome == GOV_OUTCOME_DROPPED)
		connect_count(&stats->dropped);
}

/* Is there an outcome in a change from this state? Later ones only end what is over. */
static __always_inline bool connect_is_news(int from)
{
	return from == TCP_SYN_SENT || from == TCP_ESTABLISHED;
}

/* A change of state (include/net/tcp_states.h). error: sk_err; a peer's RST sets it before the socket is closed, the
 * application's own end doesn't. */
GLOBAL_FUNCTION int connect_state(struct connect_sock *sock, int from, int to, int error)
{
	const struct gov_connect_agent *agent;
	struct gov_connect_stats *stats;
	enum gov_outcome outcome;
	__u64 owner, now_ns;

	if (!sock || !connect_is_news(from))
		return 0;
	owner = sock->key.owner;
	agent = bpf_map_lookup_elem(&gov_connect_agents, &owner);
	stats = agent ? bpf_map_lookup_elem(&gov_connect_stats, &agent->slot) : NULL;
	if (!stats)
		return 0;
	now_ns = bpf_ktime_get_ns();
	if (from == TCP_SYN_SENT && to == TCP_ESTABLISHED) {
		sock->since_ns = now_ns;
		outcome = GOV_OUTCOME_ESTABLISHED;
	} else if (from == TCP_SYN_SENT) {
		if (!sock->left_ns) {
			connect_count(&stats->abandoned);
			return connect_refund(sock, agent);
		}
		outcome = GOV_OUTCOME_FAILED;
	} else if (from == TCP_ESTABLISHED && sock->since_ns) {
		if (now_ns - sock->since_ns >= agent->breaker.stable_ns)
			outcome = GOV_OUTCOME_LIVED;
		else if (to == TCP_CLOSE_WAIT || (to == TCP_CLOSE && error))
			outcome = GOV_OUTCOME_DROPPED;
		else
			outcome = GOV_OUTCOME_ENDED;
		sock->since_ns = 0;
	} else {
		return 0;
	}
	connect_count_outcome(stats, outcome);
	return connect_learn(sock, agent, outcome, now_ns);
}

#endif
