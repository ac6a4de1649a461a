/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

#include <stdarg.h>
#include <sys/stat.h>

#include "base/text.h"

static enum log_level current_level = LOG_LEVEL_INFO;

void log_level_set(enum log_level level)
{
	current_level = level;
}

int log_level_parse(const char *word, enum log_level *ret_level)
{
	static const struct {
		const char *word;
		enum log_level level;
	} words[] = {
		{"err", LOG_LEVEL_ERR},
		{"warning", LOG_LEVEL_WARNING},
		{"info", LOG_LEVEL_INFO},
		{"debug", LOG_LEVEL_DEBUG},
	};

	for (size_t i = 0; i < ELEMENTSOF(words); i++)
		if (streq(words[i].word, word)) {
			*ret_level = words[i].level;
			return 0;
		}
	return -EINVAL;
}

/* $JOURNAL_STREAM names the device and inode of the journal's socket (systemd.exec(5)). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

void log_line(enum log_level level, const char *format, ...)
{
	char raw[1024], escaped[2048];
	va_list args;

	if (level > current_level)
		return;
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	text_escape(escaped, sizeof(escaped), raw);
	if (stderr_is_journal())
		fprintf(stderr, "<%d>%s\n", (int)level, escaped);
	else
		fprintf(stderr, "%s\n", escaped);
}
