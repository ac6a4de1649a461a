/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"

#include <stdarg.h>

void text_addf(struct text *text, const char *format, ...)
{
	size_t room = text->size - text->length;
	va_list args;
	int n;

	if (room <= 1) {
		text->truncated = true;
		return;
	}
	va_start(args, format);
	n = vsnprintf(text->bytes + text->length, room, format, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n >= room) {
		text->truncated = true;
		text->length = text->size - 1;
	} else {
		text->length += (size_t)n;
	}
}

void text_add(struct text *text, const char *string)
{
	text_addf(text, "%s", string);
}

bool text_copy(char *to, size_t size, const char *from)
{
	size_t length = from ? strnlen(from, size) : 0;
	bool fits = length < size;

	/* Nowhere to put even the NUL. */
	if (size == 0)
		return false;
	if (!fits)
		length = size - 1;
	if (length)
		memcpy(to, from, length);
	to[length] = '\0';
	return fits;
}

/* Length of the valid UTF-8 sequence at s, or 0 (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_length(const unsigned char *s)
{
	size_t n;
	uint32_t code;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2, code = s[0] & 0x1fU;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3, code = s[0] & 0x0fU;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4, code = s[0] & 0x07U;
	else
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fU);
	}
	if ((n == 3 && code < 0x800) || (n == 4 && (code < 0x10000 || code > 0x10ffff)) ||
	    (code >= 0xd800 && code <= 0xdfff) || (code >= 0x80 && code < 0xa0))
		return 0;
	return n;
}

void text_escape(char *to, size_t size, const char *from)
{
	struct text text = {.bytes = to, .size = size};
	const unsigned char *s = (const unsigned char *)from;

	if (size)
		to[0] = '\0';
	while (s && *s && !text.truncated) {
		size_t n = utf8_length(s);

		if (*s == '\\')
			text_add(&text, "\\\\");
		else if (n == 0 || *s < 0x20 || *s == 0x7f)
			text_addf(&text, "\\x%02x", *s);
		else
			text_addf(&text, "%.*s", (int)n, (const char *)s);
		s += n ? n : 1;
	}
}

void text_utf8(char *to, size_t size, const char *from)
{
	struct text text = {.bytes = to, .size = size};
	const unsigned char *s = (const unsigned char *)from;

	if (size)
		to[0] = '\0';
	while (s && *s) {
		size_t n = utf8_length(s);
		size_t need = n ? n : strlen("\\xNN");

		if (text.length + need >= size)
			break;
		if (n)
			text_addf(&text, "%.*s", (int)n, (const char *)s);
		else
			text_addf(&text, "\\x%02x", *s);
		s += n ? n : 1;
	}
}

const char *text_basename(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *text_dup(const char *from, size_t max)
{
	return from ? strndup(from, max) : NULL;
}
