/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_OUT_RESTARTS_H
#define GOV_OUT_RESTARTS_H

#include <stdio.h>

#include "core/restart.h"

/*
 * What core/restart.h counts, in a file: `govd-restarts1 BOOT`, then for each agent `ID POLICY STARTS USED DELAYED EXIT
 * CRASH...`, separated by one space. ID is hexadecimal, times are nanoseconds of that boot's CLOCK_MONOTONIC, EXIT is
 * as wait(2) has it or `-`. And for each process that was released `released PID START`, START in ticks, and for each
 * policy that ends none of its agents until it is resumed `suspended POLICY`. Of another boot all of it is void.
 */

#define RESTARTS_FILE "restarts"
#define RESTARTS_BOOT_MAX 64	      /* bytes of /proc/sys/kernel/random/boot_id, with the NUL */
#define RESTARTS_LINE_MAX (32U << 10) /* bytes of a line: far above RESTART_CRASHES_MAX numbers */

/* -ENODATA without a boot id. */
int restarts_boot_id(char ret_boot[static RESTARTS_BOOT_MAX]) _must_check_;
void restarts_write_head(FILE *file, const char *boot);
/* now_ns: delays under way count up to then. */
void restarts_write(FILE *file, const struct restart *restart, uint64_t now_ns);
/* The first line, without its newline: is this file of this boot? */
bool restarts_is_head(const char *line, const char *boot);
/* -EINVAL: not what restarts_write() writes. */
int restarts_parse(const char *line, struct restart *ret_restart) _must_check_;

/* A process that was released for good: another kind of line. */
void restarts_write_released(FILE *file, pid_t pid, uint64_t start_ticks);
int restarts_parse_released(const char *line, pid_t *ret_pid, uint64_t *ret_start_ticks) _must_check_;

/* A policy that is suspended; the name is copied to POLICY_NAME_MAX bytes. */
void restarts_write_suspended(FILE *file, const char *policy);
int restarts_parse_suspended(const char *line, char ret_policy[static POLICY_NAME_MAX]) _must_check_;

#endif
