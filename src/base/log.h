/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_BASE_LOG_H
#define GOV_BASE_LOG_H

#include "base/macro.h"

/*
 * Lines on stderr, `<N>` prefixed for the journal when stderr is one (sd-daemon(3)), else plain.
 * Control characters are escaped, so that a process's name can't forge a line.
 * Only govd, govctl and start-up code log; the rest returns errors.
 */

enum log_level { LOG_LEVEL_ERR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Lines a second that are let through; what is beyond is counted, and told when the second is over. A loop can't drown
 * the journal. */
#define LOG_RATE 400

struct log_counts {
	uint64_t emitted, dropped;
};

void log_level_set(enum log_level level);
void log_get_counts(struct log_counts *ret_counts);
/* 0, or -EINVAL when the word is none of err, warning, info, debug. */
int log_level_parse(const char *word, enum log_level *ret_level) _must_check_;

void log_line(enum log_level level, const char *format, ...) _printf_(2, 3);

#define log_err(...) log_line(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
