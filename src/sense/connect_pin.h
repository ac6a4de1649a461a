/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_CONNECT_PIN_H
#define GOV_SENSE_CONNECT_PIN_H

#include "base/macro.h"

/* Pins below one directory, which is named for a version (`v1`); beside it are those of others. */

/* Pins as NAME_new, unless NAME is this very object. */
int bpf_pin_stage(const char *dir, const char *name, int fd) _must_check_;
/* NAME_new becomes NAME, whatever that was; or goes. 0 where there is none. */
int bpf_pin_commit(const char *dir, const char *name) _must_check_;
int bpf_pin_abandon(const char *dir, const char *name) _must_check_;

/* Removes the directories of other versions, with what they pin. */
int bpf_pin_remove_others(const char *dir) _must_check_;
/* And this one. */
int bpf_pin_remove_all(const char *dir) _must_check_;

#endif
