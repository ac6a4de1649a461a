/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_BASE_UNIT_H
#define GOV_BASE_UNIT_H

#include "base/macro.h"

/*
 * The units of policies. All parsers: 0 or -EINVAL (no such unit, trailing text, sign, empty) or -ERANGE
 * (does not fit); the output is written only on success.
 */

#define UNIT_INFINITY UINT64_MAX

/* `250ms 30s 5min 1h 7d`, fractions allowed (`1.5s`), several joined (`1h 30min`); the unit is required, `0` is
 * allowed. */
int unit_parse_duration(const char *text, uint64_t *ret_ns) _must_check_;
/* `512 64K 400M 2G 1T` (base 1024, fractions allowed), `infinity`, or `25%` of total_bytes. */
int unit_parse_size(const char *text, uint64_t total_bytes, uint64_t *ret_bytes) _must_check_;
/* `150%` -> 150; 1..100000. */
int unit_parse_percent(const char *text, uint32_t *ret_pct) _must_check_;
/* A decimal number. */
int unit_parse_count(const char *text, uint64_t *ret_count) _must_check_;
/* `5/min`, `50/s`, `400/s`, `10/h` -> count and the time it is per. */
int unit_parse_rate(const char *text, uint64_t *ret_count, uint64_t *ret_per_ns) _must_check_;

/* The shortest exact form that the parsers take back: `90s`, `400M`. buffer: 32 bytes are always enough. */
void unit_format_duration(char *buffer, size_t size, uint64_t ns);
void unit_format_size(char *buffer, size_t size, uint64_t bytes);
/* Rounded, for people: `1min 30s`, `152.4M`. */
void unit_format_duration_rough(char *buffer, size_t size, uint64_t ns);
void unit_format_size_rough(char *buffer, size_t size, uint64_t bytes);

#endif
