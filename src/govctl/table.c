/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "output.h"

#include "base/text.h"
#include "format.h"

/* Tables that fit: columns are cut and left out, never wrapped. */

#define TABLE_GAP 2
#define TABLE_COLUMNS_MAX 32

struct layout {
	const struct table *table;
	size_t natural[TABLE_COLUMNS_MAX]; /* the widest cell */
	size_t width[TABLE_COLUMNS_MAX];
	bool is_shown[TABLE_COLUMNS_MAX];
};

static void cell_words(const struct column *column, const json_t *row, char *buffer, size_t size)
{
	const json_t *value = json_object_get(row, column->field);

	if (column->format)
		column->format(value, buffer, size);
	else
		format_field(column->field, value, buffer, size);
}

static void layout_measure(struct layout *layout, const json_t *rows)
{
	const struct table *table = layout->table;
	char words[FORMAT_MAX];
	json_t *row;
	size_t i;

	for (size_t c = 0; c < table->n_columns; c++) {
		layout->natural[c] = format_width(table->columns[c].title);
		layout->is_shown[c] = true;
	}
	json_array_foreach((json_t *)rows, i, row)
	{
		for (size_t c = 0; c < table->n_columns; c++) {
			cell_words(&table->columns[c], row, words, sizeof(words));
			layout->natural[c] = MAX2(layout->natural[c], format_width(words));
		}
	}
}

static size_t layout_min(const struct layout *layout, size_t c)
{
	size_t min = layout->table->columns[c].min_width;

	return min ? MIN2(layout->natural[c], min) : layout->natural[c];
}

static size_t layout_sum(const struct layout *layout, bool is_min)
{
	size_t sum = 0, n = 0;

	for (size_t c = 0; c < layout->table->n_columns; c++)
		if (layout->is_shown[c]) {
			sum += is_min ? layout_min(layout, c) : layout->width[c];
			n++;
		}
	return n ? sum + TABLE_GAP * (n - 1) : 0;
}

/* Leaves out the most expendable column; of the rest the last. False: one alone is left. */
static bool layout_drop(struct layout *layout)
{
	const struct column *columns = layout->table->columns;
	size_t worst = 0, shown = 0;

	for (size_t c = 0; c < layout->table->n_columns; c++)
		if (layout->is_shown[c]) {
			if (!shown || columns[c].expendable >= columns[worst].expendable)
				worst = c;
			shown++;
		}
	if (shown <= 1)
		return false;
	layout->is_shown[worst] = false;
	return true;
}

/* Takes a column off the one that has the most to spare. False: none has. */
static bool layout_shrink(struct layout *layout)
{
	size_t best = 0, spare = 0;

	for (size_t c = 0; c < layout->table->n_columns; c++) {
		size_t s = layout->is_shown[c] ? layout->width[c] - layout_min(layout, c) : 0;

		if (s > spare) {
			spare = s;
			best = c;
		}
	}
	if (spare == 0)
		return false;
	layout->width[best]--;
	return true;
}

static void layout_fit(struct layout *layout)
{
	size_t width = layout->table->style.width;

	for (size_t c = 0; c < layout->table->n_columns; c++)
		layout->width[c] = layout->natural[c];
	if (!width)
		return;
	while (layout_sum(layout, true) > width)
		if (!layout_drop(layout))
			break;
	while (layout_sum(layout, false) > width)
		if (!layout_shrink(layout))
			break;
	/* One column that still is too wide is cut. */
	for (size_t c = 0; c < layout->table->n_columns; c++)
		layout->width[c] = MIN2(layout->width[c], width);
}

/* row NULL: the titles. */
static void row_print(const struct layout *layout, const json_t *row)
{
	const struct table *table = layout->table;
	size_t pad = 0; /* owed before the next words, so that no line ends with spaces */
	bool is_first = true;

	for (size_t c = 0; c < table->n_columns; c++) {
		const struct column *column = &table->columns[c];
		char words[FORMAT_MAX];
		const char *colour = NULL;
		size_t space;

		if (!layout->is_shown[c])
			continue;
		if (row)
			cell_words(column, row, words, sizeof(words));
		else
			text_copy(words, sizeof(words), column->title);
		if (table->style.is_coloured)
			colour = row ? (column->colour ? column->colour(words) : NULL) : COLOUR_BOLD;
		format_cut(words, sizeof(words), layout->width[c]);
		space = layout->width[c] - MIN2(layout->width[c], format_width(words));
		pad += is_first ? 0 : TABLE_GAP;
		printf("%*s%s%s%s", (int)(pad + (column->is_right ? space : 0)), "", colour ? colour : "", words,
		       colour ? COLOUR_OFF : "");
		pad = column->is_right ? 0 : space;
		is_first = false;
	}
	putchar('\n');
}

void table_print(const struct table *table, const json_t *rows)
{
	struct layout layout = {.table = table};
	json_t *row;
	size_t i;

	layout_measure(&layout, rows);
	layout_fit(&layout);
	row_print(&layout, NULL);
	json_array_foreach((json_t *)rows, i, row) row_print(&layout, row);
}
