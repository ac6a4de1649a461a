/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_FANOUT_H
#define GOV_SENSE_FANOUT_H

#include "gov/fanout.h"
#include "sense/bpf.h"

/* Counts the births of processes of this owner; what was counted stays when length and limit are the same. */
int bpf_fanout_set(struct bpf_sense *sense, uint64_t owner, uint64_t length_ns, uint64_t limit) _must_check_;
/* 0 also when it wasn't counted. */
int bpf_fanout_drop(struct bpf_sense *sense, uint64_t owner) _must_check_;

#endif
