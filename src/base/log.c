/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>

#include "base/text.h"

/* All that logging remembers. */
static struct {
	enum log_level level;
	struct log_counts counts;
	time_t second;	       /* CLOCK_MONOTONIC: the one that lines are counted in */
	unsigned lines;	       /* in it */
	uint64_t dropped_told; /* of counts.dropped */
} log_state = {.level = LOG_LEVEL_INFO};

void log_level_set(enum log_level level)
{
	log_state.level = level;
}

void log_get_counts(struct log_counts *ret_counts)
{
	*ret_counts = log_state.counts;
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

static void log_emit(enum log_level level, const char *escaped)
{
	if (stderr_is_journal())
		fprintf(stderr, "<%d>%s\n", (int)level, escaped);
	else
		fprintf(stderr, "%s\n", escaped);
	log_state.counts.emitted++;
}

/* Whether this line is within the rate. */
static bool log_admit(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec != log_state.second) {
		uint64_t dropped = log_state.counts.dropped - log_state.dropped_told;
		char words[64];

		log_state.second = now.tv_sec;
		log_state.lines = 0;
		log_state.dropped_told = log_state.counts.dropped;
		if (dropped) {
			snprintf(words, sizeof(words), "%llu lines more weren't logged", (unsigned long long)dropped);
			log_emit(LOG_LEVEL_WARNING, words);
		}
	}
	return log_state.lines++ < LOG_RATE;
}

void log_line(enum log_level level, const char *format, ...)
{
	char raw[1024], escaped[2048];
	va_list args;

	if (level > log_state.level)
		return;
	if (!log_admit()) {
		log_state.counts.dropped++;
		return;
	}
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	text_escape(escaped, sizeof(escaped), raw);
	log_emit(level, escaped);
}
