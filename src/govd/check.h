/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVD_CHECK_H
#define GOV_GOVD_CHECK_H

#include "govd/manager.h"

/* `govd --check [FILE]...`: checks the files, or every policy and govd.yaml of the options. Prints an error a line on
 * standard output; 0, or 1 when something is wrong. */
int check_run(const struct manager_options *options, char *const *files, size_t n_files);

/* govd.yaml of these options: --config, or beside the first policy directory. */
void check_host_config_path(const struct manager_options *options, char *path, size_t size);

/* The machine that sizes in per cent refer to. */
struct conf_host check_host(void);

#endif
