/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_GLOB_H
#define GOV_CORE_GLOB_H

#include "base/macro.h"

/*
 * Globs of policies: `?`, `*`, `[a-z]`, `[!x]`, `\x`. In paths `*`, `?` and `[` don't match a slash, and `**` does.
 * A path glob without a leading slash matches the end of a path from any slash on: `claude` is any .../claude.
 * Time is bounded by |glob| * |text|.
 */
bool glob_match_path(const char *glob, const char *path);
/* For values that aren't paths (environment): `*` matches everything. */
bool glob_match_text(const char *glob, const char *text);
/* 0, or -EINVAL (unclosed `[`, trailing backslash, empty) or -E2BIG (over 1024 bytes). */
int glob_check(const char *glob) _must_check_;
/* Length of the head without wildcards, and whether it is the whole glob. */
size_t glob_literal_length(const char *glob, bool *ret_is_literal);
/* Where the part behind the last slash begins; a slash within `[]` doesn't count. */
size_t glob_last_component(const char *glob);

#endif
