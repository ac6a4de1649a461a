/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_PLACEMENT_H
#define GOV_CORE_PLACEMENT_H

#include "core/agent.h"
#include "core/policy.h"

/* Who owns a process, by its v2 cgroup, and whether it may be moved out of there. */

const char *owner_name(enum cgroup_owner owner);
const char *placement_name(enum policy_placement placement);

/* By the path as in /proc/PID/cgroup. */
enum cgroup_owner placement_owner(const char *cgroup);
/* By where an agent came from (agent->origin), of which cgroup is the group now. */
enum cgroup_owner placement_owner_of_origin(const char *origin, const char *cgroup);

/* What a policy means for a process of this owner: SCOPE, NESTED or NONE, never AUTO. is_explicit: somebody asked for
 * it by name (govctl run, adopt). */
enum policy_placement placement_choose(const struct policy *policy, enum cgroup_owner owner, bool is_explicit);
/* Why, for people: one sentence, static. */
const char *placement_reason(const struct policy *policy, enum cgroup_owner owner, bool is_explicit);

#endif
