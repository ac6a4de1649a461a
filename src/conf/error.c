/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>

#include "base/text.h"
#include "conf/keys.h"

/* A directory full of nonsense must not fill the memory or the log. */
#define ERRORS_MAX 1000
#define LINE_MAX_BYTES 1024
#define VALUE_MAX_BYTES 80

void conf_errors_done(struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++)
		free(errors->lines[i]);
	free(errors->lines);
	*errors = (struct conf_errors){0};
}

static int errors_append(struct conf_errors *errors, const char *line)
{
	char **lines;
	char *copy;

	if (errors->n > ERRORS_MAX)
		return 0;
	if (errors->n == ERRORS_MAX)
		line = "there are more errors, which are not shown";
	copy = strdup(line);
	lines = copy ? realloc(errors->lines, (errors->n + 1) * sizeof(*lines)) : NULL;
	if (!lines) {
		free(copy);
		return -ENOMEM;
	}
	errors->lines = lines;
	errors->lines[errors->n++] = copy;
	return 0;
}

static int errors_vadd(struct conf_errors *errors, const char *file, const char *path, const char *message)
{
	char escaped[LINE_MAX_BYTES / 2], line[2 * LINE_MAX_BYTES];
	struct text text = TEXT_ON(line);

	text_escape(escaped, sizeof(escaped), file);
	text_addf(&text, "%s: ", escaped);
	if (!str_empty(path)) {
		text_escape(escaped, sizeof(escaped), path);
		text_addf(&text, "%s: ", escaped);
	}
	text_add(&text, message);
	return errors_append(errors, line);
}

int conf_errors_add(struct conf_errors *errors, const char *file, const char *path, const char *format, ...)
{
	char message[LINE_MAX_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return errors_vadd(errors, file, path, message);
}

void conf_complain(struct conf_context *context, const char *path, const char *value, const char *format, ...)
{
	char message[LINE_MAX_BYTES], escaped[VALUE_MAX_BYTES];
	struct text text = TEXT_ON(message);
	va_list args;
	int r;

	message[0] = '\0';
	if (value) {
		text_escape(escaped, sizeof(escaped), value);
		text_addf(&text, "\"%s\" ", escaped);
	}
	va_start(args, format);
	vsnprintf(message + text.length, sizeof(message) - text.length, format, args);
	va_end(args);
	r = errors_vadd(context->errors, context->file, path, message);
	if (r < 0)
		context->error = r;
}

bool conf_has_complained(const struct conf_context *context)
{
	return context->errors->n > context->n_before;
}
