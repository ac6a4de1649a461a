/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVCTL_REASONS_H
#define GOV_GOVCTL_REASONS_H

#include <jansson.h>

/* The answer of TestPolicy and Explain for people: a block, and one line a policy: matched, or why it didn't. */
void reasons_print(const json_t *answer);

#endif
