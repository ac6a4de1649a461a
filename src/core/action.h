/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_ACTION_H
#define GOV_CORE_ACTION_H

#include "core/agent.h"

/* Everything that the core can want: a closed vocabulary. Each is idempotent. */

enum action_kind {
	ACTION_PLACE,	   /* make the agent's group, save its state there, set its limits, move pid. -> EVENT_RESULT */
	ACTION_MOVE,	   /* move pid (of its lineage) into the agent's group. -> EVENT_RESULT when that has gone */
	ACTION_EVICT,	   /* move pid out of the agent's group, to where the agent came from: it is protected */
	ACTION_LIMIT,	   /* set the limits of the agent's policy again */
	ACTION_SAVE,	   /* write the agent's state to its group */
	ACTION_MARK,	   /* make pid this mark's root, so that its end is told; 0: none any more, or a quiet one */
	ACTION_RELEASE,	   /* move all processes back to the origin, remove the group. -> EVENT_RESULT */
	ACTION_FREEZE,	   /* -> EVENT_RESULT */
	ACTION_THAW,	   /* -> EVENT_RESULT */
	ACTION_SIGNAL,	   /* signal to pid, when it still is that process */
	ACTION_SIGNAL_ALL, /* signal to every process of the group */
	ACTION_KILL,	   /* the whole group at once. -> EVENT_RESULT */
	ACTION_REMOVE,	   /* the empty group. -> EVENT_RESULT */
	ACTION_HOLD_ANSWER,  /* let the process of token go */
	ACTION_REPLY,	     /* answer a command */
	ACTION_RECORD,	     /* an incident */
	ACTION_SWEEP,	     /* all descendants of pid that are outside: events FORK, then SWEPT */
	ACTION_CENSUS,	     /* look at all marked processes, and at /proc: events SEEN, then CENSUS_END */
	ACTION_PACE,	     /* the agent's policy for connects to the kernel, for its group or its mark */
	ACTION_UNPACE,	     /* and away from there: nothing is delayed that hasn't been yet */
	ACTION_TOOL_PLACE,   /* make the tool's group if need be, move pid there. -> EVENT_TOOL_RESULT */
	ACTION_TOOL_SIGNAL,  /* signal to every process of the tool. -> EVENT_TOOL_RESULT */
	ACTION_TOOL_KILL,    /* the whole tool at once. -> EVENT_TOOL_RESULT */
	ACTION_TOOL_REMOVE,  /* its empty group. -> EVENT_TOOL_RESULT */
	ACTION_TOOL_WEIGH,   /* all tools of the agent: events TOOL_SAMPLE, then TOOL_WEIGHED */
	ACTION_TOOL_LOOK,    /* at who is with the root: events FORK, then TOOL_LOOKED */
	ACTION_LOOK,	     /* at the agent's destinations that are in trouble: events CONNECTS, then CONNECTS_END */
	ACTION_SAMPLE,	     /* look at the agent's memory now: event SAMPLE */
	ACTION_WEIGH,	     /* what would each agent's end give back? -> EVENT_WEIGHED */
	ACTION_WATCH,	     /* have the kernel tell, once, when the agent is short of memory. -> EVENT_PRESSURE */
	ACTION_PRESSURE,     /* look at the agent's memory. -> EVENT_PRESSURE */
	ACTION_RECLAIM,	     /* bytes of the agent's memory. -> EVENT_RESULT */
	ACTION_WATCH_PARENT, /* of the root: pid, or whoever it was. -> EVENT_ORPHANED */
	ACTION_ACTIVITY,     /* a census of what agents do. -> EVENT_ACTIVITY */
	ACTION_TIMER,	     /* EVENT_TICK at time_ns, instead of what was asked for before; UINT64_MAX: none */
	ACTION_FORGET,	     /* the agent is gone: edges drop what they keep of it */
	ACTION_KINDS,
};

const char *action_kind_name(enum action_kind kind);

/* Why a command is refused: the edges make a D-Bus error and words of it. */
enum reply_code {
	REPLY_OK,
	REPLY_NO_SUCH_PROCESS,
	REPLY_NO_SUCH_AGENT,
	REPLY_NO_SUCH_POLICY,
	REPLY_NO_MATCH,	 /* no policy is for this process */
	REPLY_PROTECTED, /* the process, or the policy's agents, are protected */
	REPLY_DENIED,	 /* this user may not, under this policy */
	REPLY_ALREADY,	 /* the process is governed already */
	REPLY_OBSERVED,	 /* the policy only observes: nothing to do it to */
	REPLY_BUSY,	 /* another command for this agent is under way, or it is stopping */
	REPLY_FULL,	 /* too many agents */
	REPLY_FAILED,	 /* error says why */
};

struct action {
	enum action_kind kind;
	const struct agent *agent; /* NULL: it is of none; borrowed until the next step() */
	union {
		struct {
			pid_t pid;
			uint64_t start_ticks;
			int signal;
			uint64_t mark;	/* MARK */
			bool is_quiet;	/* MARK: the forks of its lineage need no records */
			bool has_tools; /* MARK: its children are tools */
		} process;
		struct {
			struct tool_id id;
			uint64_t since_ns; /* TOOL_PLACE */
			pid_t pid;	   /* TOOL_PLACE: which process */
			uint64_t start_ticks;
			int signal; /* TOOL_SIGNAL */
		} tool;
		struct {
			uint64_t token;
			bool is_refused; /* what was held fails with EPERM */
		} hold;
		struct {
			uint64_t request;
			enum reply_code code;
			int error;
			char id[AGENT_ID_SIZE];
			bool reused;
		} reply;
		struct incident incident;
		uint64_t time_ns;
		uint64_t bytes;	    /* WEIGH: agents with less need no closer look; RECLAIM: to be reclaimed */
		const char *reason; /* CENSUS, static */
		bool is_again;	    /* KILL: not the first; who is left is looked at before */
		bool wants_anon;    /* SAMPLE: memory by kind, too */
		bool is_brief;	    /* FREEZE: for a time, after which govd thaws it; else the next govd does */
	};
};

/* The actions of one step(), in order. Grows; kept between steps, so that the steady state allocates nothing. */
struct actions {
	struct action *items;
	size_t n, size;
	uint64_t dropped; /* for want of memory */
};

void actions_done(struct actions *actions);
/* The new action, zeroed, of this kind; NULL (and counted) for want of memory. */
struct action *actions_add(struct actions *actions, enum action_kind kind, const struct agent *agent);

#endif
