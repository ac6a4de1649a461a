/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_RECORDER_BACKLOG_H
#define GOV_RECORDER_BACKLOG_H

#include "recorder/message.h"

#define BACKLOG_MAX 4096 /* rows that wait for a disk that is full or away */

/* Rows to be written, oldest first. */
struct backlog {
	struct row *rows[BACKLOG_MAX];
	size_t n;
};

/* Takes the row; when it is full the oldest goes: what happens now tells more than what happened long ago. Returns
 * the number of rows lost. */
size_t backlog_add(struct backlog *backlog, struct row *row);
/* Frees the first n. */
void backlog_drop(struct backlog *backlog, size_t n);

#endif
