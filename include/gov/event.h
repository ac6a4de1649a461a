/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
#ifndef GOV_EVENT_H
#define GOV_EVENT_H

/*
 * Records of the ring buffer: kernel -> user. Fixed width, explicit padding, version in each header.
 * Included by BPF programs (where vmlinux.h gives the __u types) and by userspace.
 */

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define GOV_RECORD_VERSION 1

#define GOV_COMM_SIZE 16      /* TASK_COMM_LEN, include/linux/sched.h */
#define GOV_FILENAME_SIZE 256 /* of bprm->filename; longer ones are cut, userspace reads /proc/PID/exe */
#define GOV_ARGS_SIZE 4096    /* of argv, NUL-separated; longer ones are cut and flagged */

enum gov_record_kind {
	GOV_RECORD_EXEC = 0, /* a candidate (maps.h) has executed */
	GOV_RECORD_FORK,     /* a marked process outside the slice has forked; or a tool begins, or has a child */
	GOV_RECORD_EXIT,     /* the root of a mark, or of a tool, has ended, wherever it was */
	GOV_RECORD_CONNECT,  /* struct gov_record_connect (connect.h): a storm, a breaker, ... */
	GOV_RECORD_OOM,	     /* the kernel ends a process of an agent for want of memory */
	GOV_RECORD_KILL,     /* a process of an agent is sent SIGKILL, by a process that isn't of that agent */
	GOV_RECORD_FANOUT,   /* an agent begins more processes than its policy has room for, once in a window */
	GOV_RECORD_KINDS,
};

enum gov_record_flags {
	GOV_RECORD_ARGS_TRUNCATED = 1 << 0,
	GOV_RECORD_IN_SLICE = 1 << 1, /* the process was in a group below the slice */
};

struct gov_record_head {
	__u16 kind; /* enum gov_record_kind */
	__u16 version;
	__u32 size;	 /* of the whole record, bytes */
	__u64 time_ns;	 /* CLOCK_MONOTONIC */
	__u64 mark;	 /* struct gov_mark.id of the process; fork: of the child */
	__u64 start_ns;	 /* task start_boottime of the process; fork: of the child */
	__u64 cgroup_id; /* v2 group of the process (inode of its directory); below the slice that of its agent */
	__u32 pid;	 /* thread group id; fork: of the child */
	__u32 ppid;	 /* thread group id of the real parent */
	__u32 flags;	 /* enum gov_record_flags */
	__u32 uid;	 /* real uid, initial user namespace */
};

struct gov_record_exec {
	struct gov_record_head head;
	__u64 parent_mark; /* the mark that the process carried before; 0: none */
	char comm[GOV_COMM_SIZE];
	__u32 filename_size; /* with the NUL */
	__u32 args_size;     /* bytes used in args */
	char filename[GOV_FILENAME_SIZE];
	char args[GOV_ARGS_SIZE]; /* only args_size bytes are sent */
};

struct gov_record_fork {
	struct gov_record_head head;
	__u64 tool; /* which tool the child is a part of, struct gov_mark.tool; 0: of none */
};

struct gov_record_exit {
	struct gov_record_head head;
	__s32 exit_code; /* as wait(2) has it: status << 8 | signal */
	__u32 pad;
};

/* Memory in pages, as the kernel counts it. */
struct gov_record_oom {
	struct gov_record_head head; /* the process that is ended */
	__u64 owner_id;		     /* v2 group of its agent: the child of the slice; 0: it is outside */
	__u64 tool_id;		     /* that group's child which it is in, or in one below; 0: none */
	__u64 tool;		     /* struct gov_mark.tool: it hasn't been moved to its group yet */
	__u64 memory_id;	     /* its group of the memory controller, v1 or v2 (inode) */
	__u64 limit_id;		     /* that, or the one above it, whose limit was reached; 0: the host's memory was */
	__u64 limit_pages, usage_pages;			       /* of limit_id */
	__u64 anon_pages, file_pages, shmem_pages, swap_pages; /* of the process */
	char comm[GOV_COMM_SIZE];
};

struct gov_record_kill {
	struct gov_record_head head; /* to whom it is sent */
	__u64 owner_id;		     /* as above */
	__u32 sender_pid;	     /* thread group id */
	__u32 sender_uid;	     /* real uid, initial user namespace */
	char comm[GOV_COMM_SIZE];
	char sender_comm[GOV_COMM_SIZE];
};

struct gov_record_fanout {
	struct gov_record_head head; /* the process that has begun the one too many */
	__u64 owner;		     /* key of gov_fanout, fanout.h */
	__u64 births;		     /* in the window, until now */
	__u64 window_ns;	     /* how long that is */
	char comm[GOV_COMM_SIZE];
};

/* One line of the census (BPF task iterator): a process that carries a mark. */
struct gov_census_task {
	__u64 mark;
	__u64 start_ns;
	__u64 cgroup_id;
	__u32 pid;
	__u32 ppid;
	__u32 root_pid; /* of the mark */
	__u32 flags;	/* enum gov_record_flags */
};

_Static_assert(sizeof(struct gov_record_head) == 56, "wire struct");
_Static_assert(sizeof(struct gov_record_exec) == 56 + 8 + 16 + 8 + 256 + 4096, "wire struct");
_Static_assert(sizeof(struct gov_record_fork) == 64, "wire struct");
_Static_assert(sizeof(struct gov_record_exit) == 64, "wire struct");
_Static_assert(sizeof(struct gov_record_oom) == 56 + 11 * 8 + 16, "wire struct");
_Static_assert(sizeof(struct gov_record_kill) == 56 + 8 + 8 + 32, "wire struct");
_Static_assert(sizeof(struct gov_record_fanout) == 56 + 24 + 16, "wire struct");
_Static_assert(sizeof(struct gov_census_task) == 40, "wire struct");

#endif
