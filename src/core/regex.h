/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_REGEX_H
#define GOV_CORE_REGEX_H

#include "base/macro.h"

/*
 * The one door to the regex engine (PCRE2, bytes, no UTF check). A search stops at REGEX_MATCH_LIMIT steps, so no
 * argument that a process chooses makes govd slow; a search that was stopped counts as no match and returns -E2BIG.
 */

#define REGEX_MATCH_LIMIT 20000 /* pcre2_set_match_limit; about 1 ms */
#define REGEX_HEAP_LIMIT_KIB 256
#define REGEX_PATTERN_MAX 1024 /* bytes */

struct regex;

/* 0, or -EINVAL or -E2BIG with the engine's words in error (may be NULL). */
int regex_new(const char *pattern, struct regex **ret_regex, char *error, size_t error_size) _must_check_;
struct regex *regex_free(struct regex *regex);
DEFINE_CLEANUP(struct regex *, regex_free)

/* 1 found, 0 not, -E2BIG stopped at the limit. With group (not NULL): group 1 (or the whole match) is copied there,
 * cut. */
int regex_search(const struct regex *regex, const char *text, char *group, size_t group_size);
/* As regex_search(); where in text the whole match is. */
int regex_find(const struct regex *regex, const char *text, size_t *ret_start, size_t *ret_end);

#endif
