/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_HOLD_HOLD_H
#define GOV_HOLD_HOLD_H

#include <sys/types.h>
#include <time.h>

#include "base/idmap.h"
#include "base/macro.h"
#include "gov/hold.h"

/*
 * govd-hold. Nobody waits longer than 1 s. Two clocks keep that promise, and both count from `seen`, the latest time of
 * which govd-hold knows that all events before it have been read. So for an event that came at time E it is always
 * seen < E as long as the event isn't read, also when govd-hold was stopped anywhere in its loop and continued late,
 * and no clock has to tell whether it was.
 *   1. A waiter's deadline is seen + DEADLINE by the `seen` that it was read under, whatever govd does.
 *   2. A timer of the kernel's kills govd-hold, which lets all go (SIGKILL works on stopped and frozen processes). It
 *      is set to seen + DEADMAN or to the oldest waiter's deadline + OVERDUE, whatever is sooner.
 *
 * The longest waits from E, in ms, to which the time of ending comes, 200 at the most:
 *   govd killed: the end of the socket, and PDEATHSIG				  0
 *   govd stopped or hung							650	DEADLINE
 *   govd-hold stopped or hung before it has read the event			700	DEADMAN
 *   govd-hold stopped, continued (within DEADMAN) and well again		700	max(DEADLINE, DEADMAN)
 *   govd-hold stopped or hung after it has read, even if continued between	800	DEADLINE + OVERDUE
 *   the same with govd stopped or hung: no sum above has anything of govd's in it.
 * govd's pings are no part of this: they find a govd-hold whose loop turns without doing its work.
 *
 * An event that comes when all is quiet was preceded by a sleep of a TICK at the most: govd has DEADLINE - TICK to
 * DEADLINE, 350 to 650 ms, to answer. govd-hold may be without a CPU for DEADMAN - TICK, 400 ms, before it is killed
 * for nothing.
 */
#define HOLDER_TICK_NS (300 * NSEC_PER_MSEC) /* poll at least so often; each is a wake-up of an idle host */
#define HOLDER_DEADMAN_NS (700 * NSEC_PER_MSEC)
#define HOLDER_OVERDUE_NS (150 * NSEC_PER_MSEC)
#define HOLDER_ENDING_NS (200 * NSEC_PER_MSEC) /* until a killed govd-hold's waiters run */

_Static_assert(HOLDER_DEADMAN_NS + HOLDER_ENDING_NS <= NSEC_PER_SEC, "unread events");
_Static_assert(GOV_HOLD_DEADLINE_MS *NSEC_PER_MSEC + HOLDER_OVERDUE_NS + HOLDER_ENDING_NS <= NSEC_PER_SEC, "waiters");
_Static_assert(HOLDER_TICK_NS + 350 * NSEC_PER_MSEC <= HOLDER_DEADMAN_NS, "a busy host's delays");
_Static_assert(HOLDER_TICK_NS + 350 * NSEC_PER_MSEC <= GOV_HOLD_DEADLINE_MS * NSEC_PER_MSEC, "time for govd's answer");

/* ---- watch.c: what to watch, as lists of (directory, glob) ---- */

#define WATCH_LIST_MAX 4096

struct watch {
	char *directory; /* absolute, without a slash at its end; "" is / */
	char *glob;	 /* of the last component */
	uint32_t hash;	 /* of directory */
	bool is_exec;
};

struct watch_list {
	struct watch *watches;
	size_t n, room;
};

void watch_list_done(struct watch_list *list);
/* 0, -EEXIST when it is there already, -E2BIG, -ENOMEM. */
int watch_list_add(struct watch_list *list, const char *directory, const char *glob, bool is_exec) _must_check_;
/* path as in GOV_HOLD_WATCH; also -EINVAL. */
int watch_list_parse(struct watch_list *list, const char *path, bool is_exec) _must_check_;
int watch_list_copy(struct watch_list *to, const struct watch_list *from) _must_check_;

enum watch_hit { WATCH_HIT_EXEC = 1 << 0, WATCH_HIT_OPEN = 1 << 1 };
/* Which kinds of watch a file's path matches. Its directory counts only if some watch is for it: a path seen through
 * another mount has a name that nobody told us, then the last component decides. */
unsigned watch_list_match(const struct watch_list *list, const char *path);
bool watch_glob_is_literal(const char *glob);
/* Whether a name is matched by a watch's glob. */
bool watch_glob_match(const char *glob, const char *name);
/* Writes name as a glob that matches only it. */
void watch_glob_escape(char *to, size_t size, const char *name);
uint32_t watch_hash(const char *string, size_t length);

/* ---- busy.c: directories whose marks must not be on the directory ---- */

/* Many strangers' files are opened in this directory: mark the matching files, not the directory. */
bool busy_is(const char *directory, bool is_exec);
/* 0, or -EOPNOTSUPP: root may fail to open files there (FUSE, network), which the kernel turns into a denial. */
int busy_check_filesystem(const char *directory) _must_check_;

/* ---- mark.c: fanotify marks ---- */

#define MARKS_MAX 8192

struct mark {
	uint64_t mask;
	char path[];
};

/* id of the inode -> struct mark */
struct marks {
	struct idmap map;
	int error; /* the last errno, positive */
};

void marks_done(struct marks *marks);
void mark_add(struct marks *marks, int fan_fd, const char *path, uint64_t mask);
/* No events of this special file (FIFO, device): opening them has side effects. */
void mark_ignore(int fan_fd, const char *path);
/* Takes away what old has and new hasn't. */
void marks_drop(const struct marks *old, const struct marks *new, int fan_fd);

struct holder;

/* ---- plan.c, resolve.c: from watches to marks ---- */

/* Something that inotify tells about a directory and that changes the plan. */
struct interest {
	int wd;
	bool is_entry; /* a file of a watched directory; else: a component of a watch's path has come or gone */
	bool is_exec;
	const char *name; /* glob if is_entry */
	char directory[];
};

struct plan {
	int inotify_fd;
	int fan_fd;
	struct watch_list rules; /* the watches with their directories resolved, and what their symlinks point to */
	struct marks marks;
	struct interest **interests;
	size_t n_interests, room_interests;
	int error;
	struct holder *holder; /* while it is being made: whom to serve meanwhile */
	uint64_t served_ns;
};

void plan_done(struct plan *plan);
/* Makes the plan for holder->told, swaps it in, and tells govd. */
void plan_make(struct holder *holder);
/* Reads inotify; true: plan again. */
bool plan_read_changes(struct plan *plan);
/* Registers an interest; the strings are copied. */
void plan_add_interest(struct plan *plan, const struct interest *like, const char *directory);
/* Adds an inotify watch; returns wd or -errno. */
int plan_notify(struct plan *plan, const char *directory, uint32_t mask);
/* Resolves all symlinks of path, with interests in whatever would change the result. real: PATH_MAX bytes, ""
 * for /. 0, -ENOENT, ... */
int plan_resolve(struct plan *plan, const char *path, char *real) _must_check_;

/* ---- wait.c: who waits ---- */

#define WAITERS_MAX 2048 /* power of two */
#define EXECS_MAX 64

struct waiter {
	uint64_t token; /* 0: free; slot = token % WAITERS_MAX */
	uint64_t deadline_ns;
	int fd; /* of the event */
};

/* execve opens a script twice for us: FAN_OPEN_EXEC_PERM, then FAN_OPEN_PERM; the second isn't the interpreter's. */
struct exec_open {
	int32_t pid;
	uint32_t path_hash;
	uint64_t time_ns;
};

struct waiters {
	struct waiter slots[WAITERS_MAX];
	struct exec_open execs[EXECS_MAX];
	uint64_t serial;
	size_t n, n_max;
	size_t exec_cursor;
	uint64_t seen_ns; /* all events that came before have been read */
	/* Will be seen_ns when that many more have been read: the queue is a FIFO. */
	uint64_t next_seen_ns;
	size_t n_unread;
};

void wait_init(struct waiters *waiters, uint64_t now_ns);
/* Reads the events that have come by now_ns, or many of them; letting go or asking. now_ns: taken right before. */
int wait_read(struct holder *holder, uint64_t now_ns) _must_check_;
/* error: what it waits for fails, with EPERM; 0: it goes on. */
void wait_answer(struct holder *holder, uint64_t token, int error);
void wait_expire(struct holder *holder, uint64_t now_ns);
/* UINT64_MAX: nobody waits. */
uint64_t wait_oldest_deadline(const struct waiters *waiters);

/* ---- isolate.c: the process ---- */

/* Closes descriptors, ties the life to govd's, locks memory. 0 or -errno. */
int isolate(pid_t govd_pid) _must_check_;
/* The descriptors that may be open at once. */
size_t isolate_files_max(void);

/* ---- serve.c: the loop ---- */

struct holder {
	int socket_fd;
	int fan_fd;
	pid_t govd_pid;
	char home[PATH_MAX]; /* directory of our executable, with a slash at its end; "": not known */
	pid_t exempt[GOV_HOLD_EXEMPT_MAX];
	size_t exempt_cursor;
	timer_t deadman;
	struct watch_list pending, told;
	bool commit_due, change_due;
	uint64_t plan_not_before_ns; /* so that a directory that changes all the time can't take the CPU */
	struct plan plan;
	struct waiters waiters;
	struct gov_hold_message in, out;
};

uint64_t clock_ns(void);
/* Looks at the socket and the events once, waiting at most max_wait_ns. -errno: let all go, by ending. */
int serve_turn(struct holder *holder, uint64_t max_wait_ns) _must_check_;
/* Sends holder->out with its path; -errno, also when the socket is full. */
int serve_send(struct holder *holder, enum gov_hold_kind kind) _must_check_;
int serve(struct holder *holder) _must_check_;

#endif
