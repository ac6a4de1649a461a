/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_RECORDER_STORE_OPEN_H
#define GOV_RECORDER_STORE_OPEN_H

#include "recorder/store.h"

/* Makes the directory and the database when they are missing, checks the version, prepares. On failure store->words
 * says why, and the caller closes. */
int store_open(struct store *store) _must_check_;
/* Whether the open file still is what is at the path. */
bool store_is_in_place(const struct store *store);
/* Renames a corrupt database to incidents.db.corrupt-TIME; false when it can't or has done it too often. */
bool store_set_aside(struct store *store);

#endif
