/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVCTL_FORMAT_H
#define GOV_GOVCTL_FORMAT_H

#include <jansson.h>
#include <sys/types.h>

#include "base/macro.h"

/* JSON values as words for people: rounded, escaped for the terminal, `-` for what is missing. */

#define FORMAT_MAX 1024 /* bytes; longer ones are cut */

void format_text(const json_t *value, char *buffer, size_t size);
void format_size(const json_t *value, char *buffer, size_t size);     /* of bytes */
void format_duration(const json_t *value, char *buffer, size_t size); /* of seconds */
void format_rate(const json_t *value, char *buffer, size_t size);     /* of so many a second */
void format_time(const json_t *value, char *buffer, size_t size);     /* RFC 3339 -> local time */
void format_pairs(const json_t *value, char *buffer, size_t size);    /* {a: 1, b: 2} -> `a=1 b=2` */
/* By the unit in the field's name (_bytes, _s, _per_s), or the value's type. */
void format_field(const char *field, const json_t *value, char *buffer, size_t size);

/* As text_escape, and also the characters that turn the direction of text or can't be seen. */
void format_escape(char *to, size_t size, const char *from);
/* Columns on the terminal. */
size_t format_width(const char *text);
/* Cuts text, in place, to at most width columns; a cut one ends with an ellipsis. size: of the buffer. */
void format_cut(char *text, size_t size, size_t width);
/* ms since 1970 as RFC 3339 in UTC: 24 characters. */
void format_rfc3339(char *buffer, size_t size, int64_t time_ms);

#endif
