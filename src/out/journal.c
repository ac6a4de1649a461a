/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "out/journal.h"

int journal_init(struct journal *journal)
{
	*journal = (struct journal){.lines = calloc(JOURNAL_LINES, sizeof(struct journal_line))};
	return journal->lines ? 0 : -ENOMEM;
}

void journal_done(struct journal *journal)
{
	free(journal->lines);
	*journal = (struct journal){};
}

struct journal_line *journal_add(struct journal *journal)
{
	struct journal_line *line = &journal->lines[journal->n++ % JOURNAL_LINES];

	*line = (struct journal_line){};
	return line;
}

const struct journal_line *journal_get(const struct journal *journal, size_t i)
{
	uint64_t first = journal->n > JOURNAL_LINES ? journal->n - JOURNAL_LINES : 0;

	return i < journal->n - first ? &journal->lines[(first + i) % JOURNAL_LINES] : NULL;
}
