/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVD_DOCTOR_H
#define GOV_GOVD_DOCTOR_H

#include "base/macro.h"

/* Can this host do it: `govd --doctor`. Tries things where a look is not enough, and changes nothing that stays. */

struct doctor_options {
	const char *json; /* `short`, `pretty`; `off` or NULL: a table */
};

/* Prints on stdout. Returns the exit status: 0 govd can work here (perhaps with warnings), 1 it can't, 2 usage. */
int doctor_run(const struct doctor_options *options) _must_check_;

#endif
