/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_UNIT_KERNEL_H
#define GOV_TESTS_UNIT_KERNEL_H

#include "core/state.h"

/*
 * A simulated kernel with govd's edges around step(): processes with marks and groups, a ring that loses records, a
 * census, results that come at once, as those of the native backend do, or later, as systemd's, and a truth of its own
 * of whose lineage each process is.
 */

#define TASKS 40
#define RING 12
#define HANDLES 4096
#define REQUESTS 4096 /* of one life of govd; and holds */

enum exe { EXE_BOT, EXE_TOOL, EXE_WATCHED, EXE_WORTHY, EXE_PYTHON, EXE_GUARD, EXE_CAT, EXES };

struct task {
	bool lives, is_guardian; /* as PID 1 and govd */
	pid_t pid, ppid;
	uint64_t start;
	enum exe exe;
	uint64_t mark;
	pid_t mark_root;
	bool is_quiet;
	int cage; /* -1: outside */
	int node;
	int life; /* a node for the process itself, below its parent's */
	bool is_released, told_guard, has_executed;
	bool is_lost;		 /* what was told of it: until the next census */
	uint64_t token, request; /* it waits for one of them, then executes future */
	enum exe future;
};

/* A step in a lineage: a candidate's exec, or a process that was taken over as it was. */
struct node {
	int parent, owner; /* -1: none */
	int life;	   /* of the process that it began with; or -1 */
	bool is_lax;	   /* executed what is protected: inside or outside, as it was quicker */
};

/* An agent, as the simulation has come to know it. */
struct owner {
	uint64_t handle;
	char policy[POLICY_NAME_MAX];
	bool is_observed, is_explicit, has_ended, is_killed;
	uint64_t root_start;
	int cage;
	int node;
	int life; /* of its root: with what that has started before, which may come along; or -1 */
};

struct cage {
	bool lives, is_occupied, is_frozen;
	int owner, origin;
	struct agent saved;
};

struct record {
	enum event_kind kind;
	pid_t pid, ppid;
	uint64_t start, mark, parent_mark, cgroup_id;
	enum exe exe;
	int node;
};

/* The process that a mark began with. */
struct mark_life {
	uint64_t mark;
	int life;
};

struct job {
	struct event event; /* RESULT: the action is carried out when its turn comes; else it is sent as it is */
	pid_t pid;
	uint64_t start;
};

struct kernel {
	struct state *state;
	struct actions actions;
	struct policy_set *set;
	bool observe;
	uint64_t random, now_ns, timer_ns, next_start, next_mark, next_token, next_request, hash;
	struct task tasks[TASKS];
	struct node *nodes;
	int n_nodes, size_nodes;
	struct owner *owners;
	int n_owners, size_owners;
	struct cage *cages;
	int n_cages, size_cages;
	struct mark_life *mark_lives;
	size_t n_mark_lives, size_mark_lives;
	int by_handle[HANDLES];				   /* owner + 1 */
	uint64_t settled_mark, handled_mark, drained_mark; /* as in src/govd/sensors.c */
	struct record ring[RING], *overflow;
	size_t n_ring, n_overflow, size_overflow;
	uint64_t lost;
	struct job *jobs;
	size_t n_jobs, size_jobs;
	struct job *slow; /* placings that are under way */
	size_t n_slow, size_slow;
	bool is_slow; /* placing takes time, as with the systemd backend */
	bool census_wanted, census_scans, in_census;
	unsigned failures_pct;
	unsigned char answered[REQUESTS], let_go[REQUESTS];
};

extern const char *const exe_paths[EXES];

/* Who writes down what step() is told and decides; NULL: nobody. */
struct kernel_recorder {
	void (*begin)(uint64_t seed); /* another govd */
	void (*event)(const struct state *state, const struct event *event);
	void (*actions)(const struct state *state, const struct actions *actions);
};
extern const struct kernel_recorder *kernel_recorder;

/* kernel_trace.c: what happens goes to stderr from now on; and what a process does. */
void kernel_trace(void);
void kernel_note(const struct kernel *kernel, const struct task *task, const char *what);

uint32_t kernel_random(struct kernel *kernel, uint32_t below);
void kernel_init(struct kernel *kernel, uint64_t seed, bool is_slow);
void kernel_done(struct kernel *kernel);
/* What may happen on a host, at random. */
void kernel_act(struct kernel *kernel);
/* Until nothing is left to be told or done. */
void kernel_settle(struct kernel *kernel);

/* kernel_edge.c: from here on as govd does it. */
void edge_send(struct kernel *kernel, struct event *event, int node);
void edge_reload(struct kernel *kernel);
void edge_restart(struct kernel *kernel);
void edge_deliver(struct kernel *kernel);
void edge_drain(struct kernel *kernel);
void edge_empty(struct kernel *kernel);
/* Carries out the placing that has waited longest. */
void edge_place(struct kernel *kernel);
void edge_tick(struct kernel *kernel);
void edge_census(struct kernel *kernel);
void edge_command(struct kernel *kernel);
struct proc edge_proc(const struct kernel *kernel, const struct task *task);

/* kernel_group.c */
struct owner *owner_of(struct kernel *kernel, const struct agent *agent);
int cage_origin(const struct kernel *kernel, int cage);
/* A sweep for this agent finds it. By its mark it may be another's: what is read last decides. */
void task_is_swept(struct kernel *kernel, struct task *task, int node, uint64_t agent);
void learn_agents(struct kernel *kernel, int node);
void job_do(struct kernel *kernel, struct job *job);

/* kernel.c, for the edge */
/* What it forks in a group inherits its mark. */
bool mark_counts_inside(const struct kernel *kernel, const struct task *task);
struct task *task_find(struct kernel *kernel, pid_t pid, uint64_t start);
void task_exec(struct kernel *kernel, struct task *task, enum exe exe);
void task_exit(struct kernel *kernel, struct task *task);
const struct policy *kernel_match(const struct kernel *kernel, enum exe exe);
void *grow(void *items, size_t n, size_t *size, size_t item_size);

/* kernel_lineage.c */
void mark_began(struct kernel *kernel, uint64_t mark, int life);
int mark_life(const struct kernel *kernel, uint64_t mark);
int node_new(struct kernel *kernel, int parent, int life);
bool node_is_of(const struct kernel *kernel, int node, int owner);
/* Whether the record of the exec that node stands for is still to be read. */
bool exec_is_untold(const struct kernel *kernel, const struct task *task, int node);
/* Its lineage is that of node from now on, but for what it has executed and nobody has told of yet. */
void task_come_along(struct kernel *kernel, struct task *task, int node);
/* From here on nobody says for sure whose it is, nor what it starts. */
void task_make_lax(struct kernel *kernel, struct task *task);
/* The agent that the process belongs to by its lineage, or NULL. is_lax: not for sure. */
struct owner *task_owner(const struct kernel *kernel, const struct task *task, bool *ret_is_lax);
bool task_may_be_in(const struct kernel *kernel, const struct task *task, int owner);

#endif
