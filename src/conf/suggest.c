/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/keys.h"

#define WORD_MAX 32

/* Changes between two words: letters put in, left out, replaced, or two neighbours swapped (Damerau, Levenshtein). */
static size_t word_distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t n = strnlen(a, WORD_MAX), m = strnlen(b, WORD_MAX);

	for (size_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *row = rows[i % 3], *last = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			row[j] = MIN2(last[j - 1] + (a[i - 1] != b[j - 1]), MIN2(last[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN2(row[j], before[j - 2] + 1);
		}
	}
	return rows[n % 3][m];
}

const char *conf_suggest(const char *word, const char *const *words, size_t n)
{
	const char *best = NULL;
	/* A third of the letters, one at least: `usr` is user, `abc` is nothing. */
	size_t limit = MAX2(strlen(word) / 3, (size_t)1), distance;

	if (strlen(word) > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		distance = word_distance(word, words[i]);
		if (distance <= limit) {
			best = words[i];
			limit = distance ? distance - 1 : 0;
		}
	}
	return best;
}
