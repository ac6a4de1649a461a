/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_TROUBLE_H
#define GOV_CORE_TROUBLE_H

#include "core/connect.h"

/* What step() remembers of connects that go wrong; private to core. */

/* Something that goes on for a while and may come again and again. */
struct episode {
	bool is_on;
	bool is_told;	   /* its begin was recorded: so is its end */
	uint64_t since_ns; /* it is on */
	uint64_t told_ns;  /* the last begin that was recorded; 0: never */
	uint64_t untold;   /* begins since then that were not: too soon after it */
};

/* One destination. */
struct trouble {
	struct connect_view view;  /* as it was seen last */
	struct connect_view begin; /* counters as they were when the storm began */
	struct episode storm, breaker, rate;
	bool has_probed; /* half-open was recorded since the breaker opened */
	bool is_seen;	 /* since the last ACTION_LOOK */
};

#define TROUBLES_MAX 8 /* destinations of one agent */

/* Of one agent. */
struct troubles {
	struct trouble items[TROUBLES_MAX];
	size_t n;
	bool has_missed;	 /* since the last ACTION_LOOK */
	uint64_t missed;	 /* views of further destinations in trouble, since it was recorded */
	uint64_t missed_told_ns; /* when that was; 0: never */
	struct episode sockets;	 /* more than sockets.max */
};

/* A process that nobody governs, and whom it storms. */
struct stranger {
	pid_t pid;
	char destination[CONNECT_DESTINATION_MAX];
	struct episode storm;
};

#define STRANGERS_MAX 32

#endif
