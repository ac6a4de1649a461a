/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_EVENT_H
#define GOV_CORE_EVENT_H

#include "core/activity.h"
#include "core/agent.h"
#include "core/connect.h"
#include "core/ladder.h"
#include "core/proc.h"

/* Everything that the core learns. Strings and pointers are borrowed for the duration of step(). */

enum event_kind {
	EVENT_POLICIES,	    /* a new set is in force */
	EVENT_EXEC,	    /* a candidate has executed */
	EVENT_FORK,	    /* a marked process outside the slice has a child; or a tool is born, or a part of one */
	EVENT_EXIT,	    /* a root, or the first process of a tool, has ended */
	EVENT_HOLD,	    /* a process waits for token */
	EVENT_SEEN,	    /* the start-up scan or a census came across a process */
	EVENT_FOUND,	    /* the start-up scan came across an agent's group of an earlier govd */
	EVENT_EMPTY,	    /* an agent's group has no process any more */
	EVENT_SAMPLE,	    /* an agent's counters */
	EVENT_LOST,	    /* records were lost */
	EVENT_CENSUS_END,   /* a census has told all it saw */
	EVENT_RELEASED,	    /* a process of an agent that is being let go */
	EVENT_SWEPT,	    /* ACTION_SWEEP has told all it saw */
	EVENT_COMMAND,	    /* from govctl */
	EVENT_RESULT,	    /* of an action */
	EVENT_CONNECTS,	    /* how an agent's, or a stranger's, connects to one destination go */
	EVENT_CONNECTS_END, /* ACTION_LOOK has told all destinations that it was asked about */
	EVENT_SOCKETS,	    /* an agent's open sockets */
	EVENT_OOM,	    /* the kernel ends a process for want of memory */
	EVENT_KILLED,	    /* somebody has sent SIGKILL to a process */
	EVENT_TOOL_FOUND,   /* a tool's group of an earlier govd */
	EVENT_TOOL_RESULT,  /* of ACTION_TOOL_PLACE, _SIGNAL, _KILL, _REMOVE */
	EVENT_TOOL_EMPTY,   /* a tool has no process any more */
	EVENT_TOOL_SAMPLE,  /* a tool's memory */
	EVENT_TOOL_WEIGHED, /* ACTION_TOOL_WEIGH has told of all tools */
	EVENT_TOOL_LOOKED,  /* ACTION_TOOL_LOOK has told all it saw */
	EVENT_HOST,	    /* the memory of the host, at the time that the core has asked for or before */
	EVENT_WEIGHED,	    /* what ending each agent would give back, for ACTION_WEIGH */
	EVENT_PRESSURE,	    /* how an agent's memory is: its watch has fired, or ACTION_PRESSURE */
	EVENT_ENDING,	    /* govd ends: what was done for a while is taken back; or it drains before */
	EVENT_RESTART,	    /* how often an agent was restarted, kept by an earlier govd */
	EVENT_FREED,	    /* a process that was released under an earlier govd */
	EVENT_SUSPENDED,    /* a policy that an earlier govd has suspended */
	EVENT_PAST_KILL,    /* when an earlier govd has ended an agent in an emergency of the host */
	EVENT_ORPHANED,	    /* the process that has started an agent's root has ended */
	EVENT_TRACED,	    /* whether an agent is being debugged, before a tick that may end it */
	EVENT_ACTIVITY,	    /* what agents have done, for ACTION_ACTIVITY */
	EVENT_FANOUT,	    /* an agent has begun more processes than its policy has room for */
	EVENT_TICK,	    /* the time asked for by ACTION_TIMER has come */
	EVENT_KINDS,
};

enum command {
	COMMAND_RUN,
	COMMAND_ADOPT,
	COMMAND_TOUCH,
	COMMAND_RELEASE,
	COMMAND_FREEZE,
	COMMAND_THAW,
	COMMAND_STOP,
	COMMAND_KILL,
	COMMAND_DRAIN,	/* all agents, or those of a policy, are stopped */
	COMMAND_RESUME, /* a policy that was suspended because it ended too many */
	COMMAND_LEASE,	/* for lease_ns; 0: it is given back */
	COMMANDS,
};

/* Whose process it is, and which. */
struct victim {
	uint64_t owner; /* v2 group of its agent; 0: it is outside of all */
	uint64_t mark;
	pid_t pid;
	uint64_t start_ticks;
	char comm[16]; /* TASK_COMM_LEN */
};

enum oom_limit {
	OOM_LIMIT_HOST,	 /* the memory of all */
	OOM_LIMIT_AGENT, /* its own memory.max */
	OOM_LIMIT_TOOL,	 /* tools.memory_max, of one of its tools */
	OOM_LIMIT_OTHER, /* of a group that holds the agent, or is in it */
	OOM_LIMITS,
};

/* What a kill has left of a group, looked at before the next one. */
struct left_view {
	size_t processes;
	size_t uninterruptible; /* of them: asleep in the kernel, where no signal gets to them (D) */
	size_t zombies;		/* ended but for other threads of theirs (Z) */
	char first[128];	/* some, the uninterruptible before the others: `PID COMM STATE WCHAN, ...` */
};

#define OOM_LARGEST_MAX 128

/* Bytes; UINT64_MAX: not known. */
struct oom_view {
	struct victim victim;
	uint64_t anon_bytes, file_bytes, shmem_bytes; /* of the victim */
	enum oom_limit limit;
	uint64_t limit_bytes, usage_bytes;				/* not of the host */
	uint64_t agent_anon_bytes, agent_file_bytes, agent_shmem_bytes; /* of the whole agent */
	uint64_t agent_kernel_bytes;
	char largest[OOM_LARGEST_MAX];	/* its processes with the most memory, `PID COMM SIZE, ...` */
	uint64_t tool_number;		/* the kernel's, of a tool that it hasn't been moved to yet; 0: of none */
	uint64_t tool_group;		/* nested in the agent's, that the victim was in; 0: none */
	char tool_name[TOOL_NAME_SIZE]; /* of the first process of the tool in that; "" not known */
	uint64_t tool_peak_bytes;	/* the most that this tool has had */
};

/* Of the host; bytes. */
struct host_view {
	uint64_t total_bytes, available_bytes, swap_total_bytes, swap_free_bytes;
	uint64_t full_ns; /* since boot: all that had something to do waited for memory; UINT64_MAX: not known */
};

struct agent_weight {
	uint64_t agent; /* handle */
	uint64_t bytes; /* that its end gives back, roughly; UINT64_MAX: not known */
	pid_t ppid;	/* of its root, now; 0: not known */
};

struct event {
	enum event_kind kind;
	uint64_t time_ns; /* CLOCK_MONOTONIC; never goes back */
	union {
		struct {
			struct policy_set *set; /* step() takes a reference of its own */
			bool observe;		/* govd --observe: as if each policy said mode: observe */
		} policies;
		struct {
			struct proc proc;
			uint64_t parent_mark;
		} exec;
		struct {
			pid_t pid, ppid;
			uint64_t start_ticks, mark, cgroup_id;
			uint64_t agent;	   /* handle of its agent, when the edge knows; 0: by mark */
			uint64_t tool;	   /* the kernel's number of the tool that it is a part of; 0: by of */
			struct tool_id of; /* that tool, when the edge knows; pid 0: of none, or of a new one */
		} fork;
		struct {
			pid_t pid;
			uint64_t start_ticks;
			int32_t exit_code;
			bool has_code;	    /* false: it ended unseen */
			uint64_t cgroup_id; /* that it was in; 0: not known */
		} exit;
		struct {
			struct proc proc;
			uint64_t token;
		} hold;
		struct {
			struct proc proc;
		} seen;
		struct {
			/* What the group's xattr says; the policy by name. id, key, root_*, since_ns, run_ns,
			 * thaw_ns, lease_*, cgroup, cgroup_id, origin are used. */
			const struct agent *agent;
			const char *policy;
			uint64_t restart_id; /* of its lives; 0: they aren't counted */
			bool is_populated, is_frozen, root_lives;
			bool is_frozen_briefly; /* ACTION_FREEZE with is_brief */
		} found;
		struct {
			uint64_t agent;
		} empty;
		struct {
			uint64_t agent;
			uint64_t cpu_ns;       /* UINT64_MAX: not looked at */
			uint64_t memory_bytes; /* all kinds; UINT64_MAX: not known */
			uint64_t anon_bytes;   /* when has_read, else and where it isn't known UINT64_MAX */
			bool has_read;	       /* more than was to be had by a glance */
		} sample;
		struct {
			uint64_t execs, forks, exits;
		} lost;
		struct {
			uint64_t slice_bytes; /* memory of all agents but nested ones; 0: not known */
			uint64_t looked_ns;   /* of all who are due by then EVENT_TRACED has told; 0: by now */
		} tick;
		struct {
			uint64_t agent;
			size_t moved; /* descendants that were outside */
		} swept;
		struct {
			uint64_t agent;
			pid_t pid;
			uint64_t start_ticks;
		} released;
		struct {
			uint64_t agent; /* handle; 0: a stranger's */
			pid_t pid;	/* a stranger */
			const char *exe;
			struct connect_view view;
		} connects;
		struct {
			uint64_t agent;
		} connects_end;
		struct {
			uint64_t agent;
			struct socket_view view;
		} sockets;
		struct {
			uint64_t agent;
			struct tool_id id;
			int action, error;	       /* TOOL_RESULT: enum action_kind; 0, or errno, positive */
			uint64_t cgroup_id, memory_id; /* TOOL_FOUND, TOOL_PLACE: of its groups; 0: none */
			uint64_t since_ns;	       /* TOOL_FOUND */
			uint64_t memory_bytes;	       /* TOOL_SAMPLE, TOOL_SIGNAL, TOOL_KILL; UINT64_MAX: not known */
			size_t found;		       /* TOOL_LOOKED: processes that were with the root */
			char name[TOOL_NAME_SIZE];     /* TOOL_SIGNAL, TOOL_KILL; "" not known */
		} tool;
		struct {
			const struct restart *restart;
		} restart;
		struct {
			pid_t pid;
			uint64_t start_ticks;
		} freed;
		struct {
			uint64_t agent;
		} orphaned;
		struct {
			uint64_t agent;
			pid_t tracer_pid; /* who traces one of its processes, and isn't one of them; 0: nobody; -1: not
					     known, which spares it, too */
		} traced;
		struct {
			bool drains;
		} ending;
		struct {
			const char *policy;
		} suspended;
		struct {
			uint64_t kill_ns; /* CLOCK_MONOTONIC of this boot */
		} past_kill;
		struct {
			uint64_t owner; /* v2 group of its agent; 0: an observed one's, by mark */
			uint64_t mark;
			uint64_t births, window_ns;
			pid_t pid; /* that began the one too many */
			char comm[16];
		} fanout;
		struct oom_view oom;
		struct {
			uint64_t agent;
			struct pressure_view view;
		} pressure;
		struct {
			struct victim victim;
			pid_t sender_pid;
			uint32_t sender_uid;
			char sender_comm[16];
			bool is_oomd; /* the sender is systemd-oomd */
		} killed;
		struct host_view host;
		struct {
			const struct agent_weight *items;
			size_t n;
		} weighed;
		struct {
			/* Of those that the census has come across. */
			const struct activity_view *items;
			size_t n;
		} activity;
		struct {
			enum command command;
			uint64_t request;  /* to be answered by exactly one ACTION_REPLY */
			uint64_t agent;	   /* handle; RUN, ADOPT, DRAIN, RESUME: 0 */
			uint32_t uid;	   /* who asks */
			bool granted;	   /* by the host's administrator, whatever `allow` says */
			const gid_t *gids; /* and all groups of theirs */
			size_t n_gids;
			struct proc proc;	  /* RUN, ADOPT */
			const char *policy, *key; /* RUN, ADOPT: as asked, or NULL. DRAIN, RESUME: the policy */
			bool reuse;
			uint64_t lease_ns; /* LEASE */
		} command;
		struct {
			int action;		     /* enum action_kind */
			uint64_t agent;		     /* handle */
			int error;		     /* 0, or errno, positive */
			pid_t pid;		     /* of the action */
			uint64_t start_ticks;	     /* MOVE: the same's */
			uint64_t cgroup_id;	     /* PLACE: of the new group */
			const char *cgroup, *origin; /* PLACE */
			size_t killed;		     /* KILL: processes that were in it */
			struct left_view left;	     /* KILL with is_again */
			uint64_t bytes;		     /* RECLAIM: that it has given back */
		} result;
	};
};

const char *event_kind_name(enum event_kind kind);
const char *command_name(enum command command);
const char *oom_limit_name(enum oom_limit limit);

#endif
