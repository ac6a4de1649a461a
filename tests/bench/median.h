/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_MEDIAN_H
#define BENCH_MEDIAN_H

#include <stddef.h>

/* Sorts them. */
double median(double *values, size_t n);

#endif
