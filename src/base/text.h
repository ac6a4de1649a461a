/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_BASE_TEXT_H
#define GOV_BASE_TEXT_H

#include "base/macro.h"

/* A text of bounded size that remembers when something did not fit; the caller owns the bytes. */
struct text {
	char *bytes;
	size_t size;
	size_t length;
	bool truncated;
};

#define TEXT_ON(array) ((struct text){.bytes = (array), .size = sizeof(array)})

void text_add(struct text *text, const char *string);
void text_addf(struct text *text, const char *format, ...) _printf_(2, 3);

/* Copies with truncation; always terminated. Returns whether all of it fitted. NULL counts as "". */
bool text_copy(char *to, size_t size, const char *from);
/* Copies with control characters, DEL and bytes of invalid UTF-8 written as \xNN and the backslash doubled. */
void text_escape(char *to, size_t size, const char *from);
/* Copies as valid UTF-8: bytes of invalid sequences (and C1 controls) are written as \xNN, all else stays. Cut between
 * characters. */
void text_utf8(char *to, size_t size, const char *from);
/* The part behind the last slash; never NULL. */
const char *text_basename(const char *path);

/* Duplicates at most max bytes; NULL on ENOMEM or for a NULL argument. The caller frees. */
char *text_dup(const char *from, size_t max);

#endif
