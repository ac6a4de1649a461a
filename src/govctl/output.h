/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVCTL_OUTPUT_H
#define GOV_GOVCTL_OUTPUT_H

#include "govctl.h"

/* How to print on this stdout. */
struct style {
	size_t width; /* columns; 0: no limit */
	bool is_coloured;
};

/* $COLUMNS, or the terminal's; colours on a terminal without $NO_COLOR. */
struct style style_get(void);

#define COLOUR_OFF "\033[0m"
#define COLOUR_BOLD "\033[1m"
#define COLOUR_DIM "\033[2m"
#define COLOUR_RED "\033[31m"
#define COLOUR_GREEN "\033[32m"
#define COLOUR_YELLOW "\033[33m"
#define COLOUR_BLUE "\033[34m"

/* Only ASCII and no control characters: a name can't steer the terminal. */
void output_json_value(enum json_mode mode, const json_t *json);
/* As --json asked, with a newline. */
void output_json(const struct context *context, const json_t *json);

/* One column of a table. */
struct column {
	const char *title, *field;
	/* 0: always shown; else the highest is left out first where the terminal is narrow. */
	unsigned expendable;
	/* The column may be cut to this width; 0: never. */
	size_t min_width;
	bool is_right;
	void (*format)(const json_t *value, char *buffer, size_t size);
	/* The colour of a cell by its words; NULL: none. May be NULL. */
	const char *(*colour)(const char *words);
};

struct table {
	const struct column *columns;
	size_t n_columns;
	struct style style;
};

/* rows: an array of objects. */
void table_print(const struct table *table, const json_t *rows);

/* One line a field of object: `name  words`. Fields in skip (NULL-terminated; may be NULL) are left out, as are empty
 * ones. indent in columns. */
void block_print(const json_t *object, const char *const *skip, size_t indent);

/* The colour of an agent's state, of an incident's result; NULL: none. */
const char *state_colour(const char *words);
const char *result_colour(const char *words);

/* Text of several lines as it is; on a terminal with its control characters escaped. */
void output_text(const char *text);

#endif
