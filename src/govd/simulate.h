/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVD_SIMULATE_H
#define GOV_GOVD_SIMULATE_H

#include "govd/manager.h"

/* govd --simulate: a trace and policies -> decisions. No daemon, no privileges. */

struct simulate_options {
	const char *file;		       /* `-`: stdin */
	const struct manager_options *manager; /* whose policies; NULL: those of the trace */
	const char *json;		       /* short, pretty, off; NULL: off */
	bool is_expecting;		       /* fail when the trace's decisions aren't these */
};

/* The exit code. */
int simulate_run(const struct simulate_options *options);

#endif
