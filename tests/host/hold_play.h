/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_HOLD_PLAY_H
#define GOV_TESTS_HOLD_PLAY_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "sense/hold_internal.h"

/* A test plays govd with the real client, the real govd-hold and the kernel, in a temporary directory of its own. */

#define ASKS_MAX 4096

struct play_ask {
	uint64_t token;
	pid_t pid;
	bool is_exec;
	char path[PATH_MAX];
};

struct play {
	char directory[64];
	struct hold *hold;
	struct play_ask *asks;
	unsigned n_asks, n_expired, n_ended;
	unsigned n_answered; /* by expect_held */
	char why[64];
	bool does_answer; /* at once */
	bool does_restart;
};

struct play *play_new(void);  /* not started */
struct play *play_open(void); /* started */
void play_close(struct play *play);
uint64_t play_now_ns(void);
/* Serves until the number is reached; false after 3 s (of which the tests' promises need less than 1). */
bool play_until(struct play *play, const unsigned *number, unsigned reached);
/* Serves for exactly that long. */
void play_for(struct play *play, unsigned ms);
/* Serves until the process has ended and returns its exit code. */
int play_wait(struct play *play, pid_t pid);
/* Watches these patterns below the directory (NULL: none) and serves until they are in force. */
void play_watch(struct play *play, const char *exe, const char *script);
/* Serves until govd-hold has told its marks again. */
void play_settle(struct play *play);

/* directory/name; static buffers, eight of them in turn. */
const char *play_path(const struct play *play, const char *name);
/* Makes directory/name, executable. The program exits with code. */
void play_make_program(const struct play *play, const char *name);
void play_make_script(const struct play *play, const char *name, int code);
/* Starts argv[0] by execv in a child. */
pid_t play_exec(const char *const argv[]);
/* As play_exec; the child ends with PLAY_REFUSED when its execve failed with EPERM. */
#define PLAY_REFUSED 125
pid_t play_exec1(const char *path);
bool play_has_ended(pid_t pid);
/* Waits without serving anybody; how long it took since start_ns, in ms. 3 s at the most. */
unsigned play_wait_alone(pid_t pid, uint64_t start_ns);

#endif
