/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TEST_BPF_SUPPORT_H
#define GOV_TEST_BPF_SUPPORT_H

#include <criterion/criterion.h>
#include <limits.h>
#include <sys/types.h>

#include "sense/bpf.h"
#include "sense/procfs.h"

/*
 * On the real kernel, as root, among the processes of others: candidates are names that only copies of executables in
 * this test's own directory have, so that every record is of a process that the test has started.
 */

#define WAIT_MS 10000

struct bench {
	struct bpf_sense *sense;
	char dir[64];
	char tag[16];			  /* every name starts with it */
	char shell[96];			  /* a copy of sh, not a candidate */
	struct gov_record_exec **records; /* any kind, in the order they came */
	size_t n, size;
};

/* A shell that obeys: starts commands, says when they are done. */
struct puppet {
	pid_t pid;
	int pidfd;
	FILE *to, *from;
};

void bench_open(struct bench *bench, size_t ring_bytes);
void bench_open_with(struct bench *bench, const struct bpf_sense_options *options);
void bench_close(struct bench *bench);
/* Copies the executable from to DIR/TAG+name; path: 96 bytes. */
void bench_copy(struct bench *bench, const char *from, const char *name, char *path);
void bench_script(struct bench *bench, const char *name, const char *text, char *path);
/* Makes TAG+names candidates; NULL ends. */
void bench_candidates(struct bench *bench, const char *name, ...);
void bench_read(struct bench *bench);

typedef bool (*record_test)(const struct gov_record_head *record, const void *userdata);
/* The first that passes, waiting for it; the test fails when none comes. */
const struct gov_record_head *bench_wait(struct bench *bench, record_test test, const void *userdata, const char *what);
size_t bench_count(const struct bench *bench, record_test test, const void *userdata);
/* By kind and pid (userdata: pid_t). */
bool is_exec_of(const struct gov_record_head *record, const void *pid);
bool is_fork_of(const struct gov_record_head *record, const void *pid);
bool is_fork_by(const struct gov_record_head *record, const void *ppid);
bool is_exit_of(const struct gov_record_head *record, const void *pid);

/* A slice of the test's own in the v2 tree, with the group of one agent. */
struct slice {
	char path[PATH_MAX], agent[PATH_MAX + 8];
	struct gov_config config;
};

void slice_make(struct slice *slice);
void slice_remove(struct slice *slice);
void slice_move(pid_t pid, const char *group);

/* Starts argv[0]; the child waits for nobody. */
pid_t start(const char *const argv[]);
int wait_for(pid_t pid);
int run(const char *const argv[]);

void puppet_open(struct puppet *puppet, const char *shell);
void puppet_close(struct puppet *puppet);
/* Runs a line of shell; returns the number it prints in the end (`echo $!`), 0 when there is none. */
long puppet_do(struct puppet *puppet, const char *line);

#endif
