/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_BPF_WORDS_H
#define GOV_SENSE_BPF_WORDS_H

#include <stddef.h>

/* Why the kernel doesn't take a program, in libbpf's words and the verifier's. In the loader's child only. */

void bpf_words_begin(void);
/* Where libbpf's next complaint goes, unless something is there: BPF_WORDS_MAX bytes, which stay the caller's. NULL:
 * nowhere. */
void bpf_words_to(char *words);

/* The last line of the verifier's log that isn't its statistics. Cuts the log. */
void bpf_words_last_line(char *log, char *text, size_t size);

#endif
