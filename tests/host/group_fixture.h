/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_GROUP_FIXTURE_H
#define GOV_TESTS_GROUP_FIXTURE_H

#include <signal.h>

#include "act/group.h"

/* A slice of its own, one policy, one agent, and what the actuators have told. Needs root and a v2 mount. */
struct fixture {
	struct groups *groups;
	char slice[64], words[512]; /* of groups_new_native */
	struct policy policy;
	struct agent agent;
	char cgroup[AGENT_CGROUP_MAX], origin[AGENT_CGROUP_MAX], found_key[POLICY_KEY_MAX]; /* of the agents */
	struct event result; /* the last; its strings are in the agent */
	unsigned results, empties, founds;
	struct agent found;
	char found_policy[POLICY_NAME_MAX];
	bool found_populated, found_frozen, found_briefly, found_lives;
	pid_t children[64];
	size_t n_children;
};

void fixture_open(struct fixture *fixture);
/* Another govd on the same slice; the first one's object is left as if it had been killed, when it has been. */
void fixture_reopen(struct fixture *fixture);
void fixture_close(struct fixture *fixture); /* kills the children, removes all, checks that nothing is left */

/* A child that runs body() and is killed with the test. */
pid_t fixture_spawn(struct fixture *fixture, void (*body)(void *userdata), void *userdata);
pid_t fixture_spawn_idle(struct fixture *fixture);
uint64_t start_ticks_of(pid_t pid);

int act(struct fixture *fixture, enum action_kind kind);
int act_on(struct fixture *fixture, enum action_kind kind, pid_t pid, uint64_t start_ticks, int number);
/* Spawns nothing: places pid as the agent's root; the result becomes the agent's. */
int place(struct fixture *fixture, pid_t pid);

/* Reads SLICE/POLICY-ID/FILE in the v2 tree ("") or a v1 hierarchy ("memory"); "" when it isn't there. */
const char *group_file(struct fixture *fixture, const char *controller, const char *file, char *buffer, size_t size);
bool is_in_group(struct fixture *fixture, const char *controller, pid_t pid);
uint64_t group_inode(struct fixture *fixture, const char *controller); /* 0: it isn't there */
/* As systemd does with a scope that is empty. False: it isn't yet. */
bool group_remove(struct fixture *fixture, const char *controller);
bool group_exists(struct fixture *fixture, const char *controller);
/* The path of pid in a v1 hierarchy, or in v2 (""). */
const char *path_of(pid_t pid, const char *controller, char *buffer, size_t size);

/* Dispatches until condition or 10 s. */
#define WAIT_UNTIL(fixture, condition)                                                                                 \
	do {                                                                                                           \
		uint64_t end_ = now_ns() + 10 * NSEC_PER_SEC;                                                          \
		while (!(condition) && now_ns() < end_)                                                                \
			fixture_pump(fixture);                                                                         \
		cr_assert(condition);                                                                                  \
	} while (0)

uint64_t now_ns(void);
void fixture_pump(struct fixture *fixture);

#endif
