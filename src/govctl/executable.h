/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVCTL_EXECUTABLE_H
#define GOV_GOVCTL_EXECUTABLE_H

#include "base/macro.h"

/* Finds cmd as execvp(3) would, by PATH when it has no slash, as an absolute path. 0, -ENOENT, -EACCES (it is there,
 * and can't be executed), or another negative errno. The caller frees. */
int executable_find(const char *cmd, char **ret_path) _must_check_;

/* Becomes govd with these arguments (NULL-terminated; argv[0] is filled in): the one beside govctl, else of PATH or
 * the usual places. Returns only when it failed and was told: the exit code. */
int executable_become_govd(const char **argv) _must_check_;

#endif
