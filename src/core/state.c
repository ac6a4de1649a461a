/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include "base/text.h"
#include "core/tool.h"

struct state *state_new(uint64_t seed)
{
	struct state *state = calloc(1, sizeof(*state));

	if (!state)
		return NULL;
	state->seed = seed;
	state->timer_ns = UINT64_MAX;
	state->verdicts = calloc(STATE_VERDICTS_MAX, sizeof(*state->verdicts));
	state->released = calloc(STATE_RELEASED_MAX, sizeof(*state->released));
	if (!state->verdicts || !state->released) {
		free(state->verdicts);
		free(state->released);
		free(state);
		return NULL;
	}
	return state;
}

static void restarts_free(struct idmap *restarts)
{
	struct restart *restart;
	size_t cursor = 0;

	while ((restart = idmap_next(restarts, &cursor)))
		restart_free(restart);
	idmap_done(restarts);
}

static void free_all(struct idmap *map)
{
	size_t cursor = 0;
	void *item;

	while ((item = idmap_next(map, &cursor)))
		free(item);
	idmap_done(map);
}

static void agent_free(struct state *state, struct agent *agent)
{
	const char *const texts[] = {agent->key, agent->cgroup, agent->origin, agent->exe, agent->script};

	for (size_t i = 0; i < ELEMENTSOF(texts); i++)
		intern_put(&state->texts, texts[i]);
	policy_unref(agent->policy);
	free(agent->troubles);
	free(agent->leak);
	free(agent->activity);
	free(agent->ladder);
	tools_free(agent->tools);
	free(agent);
}

struct state *state_free(struct state *state)
{
	struct agent *agent;
	size_t cursor = 0;

	if (!state)
		return NULL;
	state_free_ended(state);
	while ((agent = idmap_next(&state->by_handle, &cursor)))
		agent_free(state, agent);
	idmap_done(&state->by_handle);
	idmap_done(&state->by_cgroup);
	idmap_done(&state->by_root);
	idmap_done(&state->by_mark);
	idmap_done(&state->by_key);
	idmap_done(&state->verdict_of);
	intern_done(&state->texts);
	idmap_done(&state->restarts_by_program);
	restarts_free(&state->restarts);
	free_all(&state->culls);
	idmap_done(&state->released_at);
	free(state->released);
	free(state->verdicts);
	policy_set_unref(state->set);
	free(state);
	return NULL;
}

void state_free_ended(struct state *state)
{
	while (state->ended) {
		struct agent *agent = state->ended;

		state->ended = agent->next_ended;
		agent_free(state, agent);
	}
}

struct agent *state_get(const struct state *state, uint64_t handle)
{
	return handle ? idmap_get(&state->by_handle, handle) : NULL;
}

bool state_has_verdict(const struct state *state, uint64_t id)
{
	return idmap_get(&state->verdict_of, id);
}

void state_add_verdict(struct state *state, uint64_t id, uint64_t alias)
{
	struct verdict *verdict = &state->verdicts[state->n_verdicts % STATE_VERDICTS_MAX];

	/* Its id may have been given a newer verdict since: that one stays. */
	if (verdict->id && idmap_get(&state->verdict_of, verdict->id) == verdict)
		idmap_remove(&state->verdict_of, verdict->id);
	*verdict = (struct verdict){.id = id, .alias = alias};
	if (idmap_put(&state->verdict_of, id, verdict) < 0)
		verdict->id = 0;
	else
		state->n_verdicts++;
}

void state_set_released(struct state *state, pid_t pid, uint64_t start_ticks)
{
	uint64_t *slot = &state->released[state->n_released % STATE_RELEASED_MAX];
	uint64_t id = process_id(pid, start_ticks);

	if (idmap_get(&state->released_at, id))
		return;
	if (*slot)
		idmap_remove(&state->released_at, *slot);
	*slot = id;
	if (idmap_put(&state->released_at, id, slot) < 0)
		*slot = 0;
	else
		state->n_released++;
	state->restarts_changed++;
}

bool state_released_next(const struct state *state, size_t *cursor, pid_t *ret_pid, uint64_t *ret_start_ticks)
{
	uint64_t id;

	while (*cursor < STATE_RELEASED_MAX) {
		id = state->released[(*cursor)++];
		if (!id)
			continue;
		*ret_pid = (pid_t)(id >> PROCESS_TICKS_BITS & PROCESS_PID_MASK);
		*ret_start_ticks = id & PROCESS_TICKS_MASK;
		return true;
	}
	return false;
}

bool state_is_released(const struct state *state, pid_t pid, uint64_t start_ticks)
{
	return idmap_get(&state->released_at, process_id(pid, start_ticks));
}

struct agent *state_by_mark(const struct state *state, uint64_t mark)
{
	/* A chain is as long as execs of candidates in a row before the first is placed; a bound keeps liars finite. */
	for (unsigned depth = 0; mark && depth < 64; depth++) {
		struct agent *agent = idmap_get(&state->by_mark, mark);
		const struct verdict *verdict;

		if (agent)
			return agent;
		verdict = idmap_get(&state->verdict_of, mark);
		mark = verdict ? verdict->alias : 0;
	}
	return NULL;
}

struct agent *state_by_root(const struct state *state, pid_t pid, uint64_t start_ticks)
{
	struct agent *agent = idmap_get(&state->by_root, (uint64_t)pid);

	return agent && agent_is_root(agent, pid, start_ticks) ? agent : NULL;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t state_random(struct state *state)
{
	uint64_t x = state->seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* Of 8 hexadecimal digits, as all that the core makes. */
static bool state_has_id(const struct state *state, const char *id)
{
	const struct agent *agent;
	size_t cursor = 0;

	while ((agent = idmap_next(&state->by_handle, &cursor)))
		if (memcmp(agent->id, id, 8 + 1) == 0)
			return true;
	return false;
}

/* Its texts are the template's so far. False: no memory, and each is the state's or NULL. */
static bool take_texts(struct state *state, struct agent *agent)
{
	const struct {
		const char **text;
		size_t size;
	} texts[] = {
		{&agent->key, POLICY_KEY_MAX}, {&agent->cgroup, AGENT_CGROUP_MAX}, {&agent->origin, AGENT_CGROUP_MAX},
		{&agent->exe, AGENT_EXE_MAX},  {&agent->script, AGENT_EXE_MAX},
	};
	bool is_whole = true;

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		*texts[i].text = intern_get(&state->texts, *texts[i].text, texts[i].size - 1);
		is_whole &= *texts[i].text != NULL;
	}
	return is_whole;
}

void state_set_text(struct state *state, const char **text, const char *from, size_t size)
{
	const char *taken = intern_get(&state->texts, from, size - 1);

	if (!taken)
		return;
	intern_put(&state->texts, *text);
	*text = taken;
}

struct agent *state_add_agent(struct state *state, const struct agent *template, struct policy *policy)
{
	struct agent *agent;

	if (state->by_handle.used >= STATE_AGENTS_MAX)
		return NULL;
	agent = malloc(sizeof(*agent));
	if (!agent)
		return NULL;
	*agent = *template;
	agent->policy = NULL;
	agent->troubles = NULL;
	agent->leak = NULL;
	agent->memory_bytes = UINT64_MAX;
	agent->ladder = NULL;
	agent->tools = NULL;
	agent->activity = NULL;
	agent->connect_look_ns = 0;
	if (!take_texts(state, agent)) {
		agent_free(state, agent);
		return NULL;
	}
	agent->handle = ++state->next_handle;
	if (!*agent->id)
		do
			snprintf(agent->id, sizeof(agent->id), "%08x", (unsigned)state_random(state));
		while (state_has_id(state, agent->id));
	agent->next_of_key = NULL;
	if (idmap_put(&state->by_handle, agent->handle, agent) < 0) {
		agent_free(state, agent);
		return NULL;
	}
	if (key_add(state, agent) < 0) {
		idmap_remove(&state->by_handle, agent->handle);
		agent_free(state, agent);
		return NULL;
	}
	agent->policy = policy_ref(policy);
	agent->since_ns = template->since_ns ? template->since_ns : state->now_ns;
	agent->active_ns = state->now_ns;
	if (template->mark && state_set_mark(state, agent, template->mark) < 0)
		agent->mark = 0;
	if (agent->has_root)
		state_set_root(state, agent, template->root_pid, template->root_start_ticks);
	if (template->cgroup_id)
		state_set_cgroup(state, agent, template->cgroup_id, agent->cgroup);
	return agent;
}

void state_set_root(struct state *state, struct agent *agent, pid_t pid, uint64_t start_ticks)
{
	struct agent *displaced = idmap_get(&state->by_root, (uint64_t)pid);

	state_clear_root(state, agent);
	if (displaced)
		state_clear_root(state, displaced);
	agent->root_pid = pid;
	agent->root_start_ticks = start_ticks;
	agent->root_rule = NULL;
	agent->has_root = idmap_put(&state->by_root, (uint64_t)pid, agent) == 0;
}

void state_clear_root(struct state *state, struct agent *agent)
{
	if (idmap_get(&state->by_root, (uint64_t)agent->root_pid) == agent)
		idmap_remove(&state->by_root, (uint64_t)agent->root_pid);
	agent->has_root = false;
}

void state_set_cgroup(struct state *state, struct agent *agent, uint64_t cgroup_id, const char *cgroup)
{
	if (agent->cgroup != cgroup)
		state_set_text(state, &agent->cgroup, cgroup, AGENT_CGROUP_MAX);
	if (agent->is_observed)
		return;
	if (agent->cgroup_id != cgroup_id && idmap_get(&state->by_cgroup, agent->cgroup_id) == agent)
		idmap_remove(&state->by_cgroup, agent->cgroup_id);
	if (idmap_put(&state->by_cgroup, cgroup_id, agent) == 0)
		agent->cgroup_id = cgroup_id;
}

void state_set_placing(struct state *state, struct agent *agent, bool is_placing)
{
	state->n_placing += is_placing;
	state->n_placing -= agent->is_placing;
	agent->is_placing = is_placing;
}

int state_set_mark(struct state *state, struct agent *agent, uint64_t mark)
{
	int r = idmap_put(&state->by_mark, mark, agent);

	if (r < 0)
		return r;
	/* What carries the old mark is its lineage still. */
	if (agent->mark && agent->mark != mark) {
		idmap_remove(&state->by_mark, agent->mark);
		state_add_verdict(state, agent->mark, mark);
	}
	agent->mark = mark;
	return 0;
}

/* What began in its group, and isn't in its own yet, is where the group's processes have gone; or began, through it, in
 * the one before. */
static void hand_on_children(const struct state *state, const struct agent *agent)
{
	struct agent *child;
	size_t cursor = 0;

	while ((child = idmap_next(&state->by_handle, &cursor)))
		if (child->parent == agent->handle)
			child->parent = agent->parent;
}

bool state_began_in(const struct state *state, const struct agent *agent, const struct agent *there)
{
	/* Each is younger than its parent. */
	while (agent && agent->parent != there->handle)
		agent = state_get(state, agent->parent);
	return agent;
}

void state_end_agent(struct state *state, struct agent *agent)
{
	backoff_detach(state, agent);
	state_clear_root(state, agent);
	state_set_placing(state, agent, false);
	if (agent->cgroup_id && idmap_get(&state->by_cgroup, agent->cgroup_id) == agent)
		idmap_remove(&state->by_cgroup, agent->cgroup_id);
	if (agent->mark && idmap_get(&state->by_mark, agent->mark) == agent)
		idmap_remove(&state->by_mark, agent->mark);
	key_remove(state, agent);
	idmap_remove(&state->by_handle, agent->handle);
	hand_on_children(state, agent);
	agent->state = AGENT_GONE;
	agent->next_ended = state->ended;
	state->ended = agent;
}
