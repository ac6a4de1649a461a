/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_ACTIVITY_H
#define GOV_SENSE_ACTIVITY_H

#include "gov/activity.h"
#include "sense/bpf.h"

typedef void (*bpf_activity_fn)(uint64_t owner, const struct gov_activity *activity, void *userdata);

/* The census of what agents do, each owner once. -EBADF: this kernel can't (its programs are those of connect pacing).
 */
int bpf_activity_census(struct bpf_sense *sense, bpf_activity_fn fn, void *userdata) _must_check_;

#endif
