/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CONF_NAMES_H
#define GOV_CONF_NAMES_H

#include "base/macro.h"

/* A growing list of names, each at most once. Internal to conf. */
struct names {
	char **items;
	size_t n;
};

/* Copies at most length bytes. 0 (also when it is there already), or -ENOMEM. */
int names_add(struct names *names, const char *name, size_t length) _must_check_;
void names_done(struct names *names);

#endif
