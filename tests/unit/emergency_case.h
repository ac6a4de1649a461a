/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_UNIT_EMERGENCY_CASE_H
#define GOV_TESTS_UNIT_EMERGENCY_CASE_H

#include "world.h"

/* A host of 1000 MiB with the default thresholds, and agents of 50 MiB each. */

#define MIB (UINT64_C(1) << 20)
#define CASE_AGENTS 32

struct emergency_case {
	struct world world;
	struct host_view host;
	struct agent *agents[CASE_AGENTS]; /* NULL: has ended */
	struct agent_weight weights[CASE_AGENTS];
	size_t n;
};

/* n agents of policy `bot`; the policies `safe` (protected) and `watched` (observed) are there, too. */
void emergency_case_init(struct emergency_case *c, size_t n);
void emergency_case_done(struct emergency_case *c);
/* One more, of /opt/POLICY. */
struct agent *add_agent(struct emergency_case *c, const char *exe);
struct agent_weight *weight_of(struct emergency_case *c, const struct agent *agent);
void pass(struct emergency_case *c, uint64_t ns);
/* Each a millisecond later, as all events. */
void look(struct emergency_case *c, uint64_t available_bytes);
void weigh(struct emergency_case *c);
/* The end of the one that was ended last, if it hasn't been told. */
void ended(struct emergency_case *c);
/* The last record of the last step. */
const struct incident *told(const struct emergency_case *c);
void expect_number(const struct emergency_case *c, const char *name, uint64_t least, uint64_t most);
void expect_state(const struct emergency_case *c, const char *name);

#endif
