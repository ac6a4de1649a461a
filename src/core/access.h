/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_ACCESS_H
#define GOV_CORE_ACCESS_H

#include "base/macro.h"

/* Who may call what over the bus, before the policies' own word. */

enum access_class {
	ACCESS_LOOK, /* root and members of the group */
	ACCESS_ACT,  /* root */
	ACCESS_RUN,  /* besides, whom a policy's `allow` lists: of that policy's agents */
};

struct access_caller {
	bool is_root;
	bool may_look;	   /* a member of the group */
	bool is_allowed;   /* listed by some policy */
	bool may_be_asked; /* polkit, for it: it has come by the system bus */
	bool is_denied;	   /* the policy that it's about has said no */
};

enum access_verdict {
	ACCESS_GRANTED,
	ACCESS_BY_POLICY, /* the core says, which knows what it is about */
	ACCESS_ASK,	  /* polkit has the last word */
	ACCESS_DENIED,
};

enum access_verdict access_decide(enum access_class class, const struct access_caller *caller);

/* A polkit action, from its policy file. */
const char *access_action(enum access_class class);

#endif
