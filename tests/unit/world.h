/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_UNIT_WORLD_H
#define GOV_TESTS_UNIT_WORLD_H

#include "core/step.h"

/* A small world around step(): policies by executable, events with defaults, and a look at the actions. */

struct world {
	struct state *state;
	struct actions actions;
	struct policy_set *set;
	uint64_t now_ns;
	uint64_t next_request;
};

struct world_policy {
	const char *name, *exe; /* exe: a glob */
	bool observe, protect;
	uint64_t memory_max_bytes; /* 0: none */
	uid_t allow_user;	   /* 0: nobody */
};

void world_init(struct world *world, const struct world_policy *policies, size_t n);
void world_done(struct world *world);
struct policy_set *world_make_set(const struct world_policy *policies, size_t n);
/* Takes over set. */
void world_set_policies(struct world *world, struct policy_set *set);

struct proc world_proc(pid_t pid, const char *exe);
void world_step(struct world *world, struct event *event);
void world_exec(struct world *world, const struct proc *proc, uint64_t parent_mark);
void world_fork(struct world *world, pid_t pid, pid_t ppid, uint64_t mark);
void world_exit(struct world *world, pid_t pid, int32_t exit_code);
void world_hold(struct world *world, const struct proc *proc, uint64_t token);
/* The result of the PLACE in the last actions; the group's id is 1000 + handle unless it failed. */
void world_placed(struct world *world, int error);
void world_empty(struct world *world, uint64_t agent);
/* Of another action, which has succeeded; of REMOVE. */
void world_result(struct world *world, enum action_kind kind, uint64_t agent);
void world_removed(struct world *world, uint64_t agent, int error);
/* As if its key were this one since its birth. */
void world_set_key(struct world *world, struct agent *agent, const char *key);
uint64_t world_command(struct world *world, enum command command, uint64_t agent);
/* The time passes, and then there is a tick. */
void world_wait(struct world *world, uint64_t ns);
/* Who has started it has ended. */
void world_orphan(struct world *world, const struct agent *agent);

/* The i-th action of this kind in the last step's, or NULL. */
const struct action *world_action(const struct world *world, enum action_kind kind, size_t i);
size_t world_count(const struct world *world, enum action_kind kind);
/* The first incident of the last step, which there must be; the first of a kind, or NULL. */
const struct incident *world_told(const struct world *world);
const struct incident *world_incident(const struct world *world, enum incident_kind kind);
/* Its evidence of that name, or NULL; of a number, which there must be. */
const struct fact *world_fact(const struct incident *incident, const char *name);
const char *world_text(const struct incident *incident, const char *name);
uint64_t world_number(const struct incident *incident, const char *name);
/* Asserts that the last actions are of exactly these kinds, in order: `place record`. */
void world_expect(const struct world *world, const char *kinds, const char *file, int line);
#define EXPECT(world, kinds) world_expect(world, kinds, __FILE__, __LINE__)

#endif
