/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_ACT_LIBCGROUP_H
#define GOV_ACT_LIBCGROUP_H

#include "base/macro.h"

/* The only door to libcgroup, for start-up: its codes become -errno here. The hot path writes the kernel's files. */

/* Reads the mount table; -ENODEV: no cgroups are mounted. */
int libcgroup_open(void) _must_check_;
/* Where a controller is mounted; -ENOENT: nowhere. */
int libcgroup_mount_point(const char *controller, char *ret_path, size_t size) _must_check_;
/* mkdir -p of a v1 group; path is relative to the hierarchy's mount point. */
int libcgroup_create(const char *controller, const char *path) _must_check_;

#endif
