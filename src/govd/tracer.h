/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVD_TRACER_H
#define GOV_GOVD_TRACER_H

#include "core/trace.h"

/* Records what the core is told and what it decides, for `govctl simulate`; govd.trace(5). */

struct tracer;

/* What it may come to on disk; it ends there, as a trace without its beginning is none. */
#define TRACER_BYTES_MAX (64ULL << 20)

int tracer_new(const char *file, uint64_t seed, struct tracer **ret_tracer) _must_check_;
/* Writes what is still in memory. */
struct tracer *tracer_free(struct tracer *tracer);

/* Around each step(). */
void tracer_event(struct tracer *tracer, const struct state *state, const struct event *event);
void tracer_actions(struct tracer *tracer, const struct state *state, const struct actions *actions);

/* Whether something waits in memory; tracer_flush() writes it. */
bool tracer_is_waiting(const struct tracer *tracer);
void tracer_flush(struct tracer *tracer);

#endif
