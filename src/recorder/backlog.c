/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recorder/backlog.h"

/* At once, so that a full backlog isn't moved for every row. */
#define BACKLOG_LOSE (BACKLOG_MAX / 16)

size_t backlog_add(struct backlog *backlog, struct row *row)
{
	size_t lost = 0;

	if (backlog->n == BACKLOG_MAX) {
		lost = BACKLOG_LOSE;
		backlog_drop(backlog, lost);
	}
	backlog->rows[backlog->n++] = row;
	return lost;
}

void backlog_drop(struct backlog *backlog, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(backlog->rows[i]);
	backlog->n -= n;
	memmove(backlog->rows, backlog->rows + n, backlog->n * sizeof(backlog->rows[0]));
}
