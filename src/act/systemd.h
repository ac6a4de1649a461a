/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_ACT_SYSTEMD_H
#define GOV_ACT_SYSTEMD_H

#include <systemd/sd-bus.h>

#include "act/internal.h"

/*
 * The systemd backend: systemd owns the tree. An agent is a transient scope with Delegate=yes in the slice; what
 * belongs to systemd (units, their limits, who is in groups of other units) is asked for over D-Bus, and within the
 * delegated scope govd works as the native backend does. All that is asked for is a request: it is sent, its answer
 * awaited, and sent again when systemd or the bus went away meanwhile, so that no call ever blocks.
 */

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"

#define SCOPE_PREFIX "govd-"
#define SCOPE_SUFFIX ".scope"
/* Policies' names (NAME_CHARS of conf/policy.c) and ids need no escaping: systemd.unit(5). */
_Static_assert(sizeof(SCOPE_PREFIX) + sizeof(SCOPE_SUFFIX) - 2 <= 16, "GROUP_NAME_MAX");

struct request;

struct request_kind {
	/* It is due: looks whether it is done already, else sends it (systemd_call). */
	void (*run)(struct groups *groups, struct request *request);
	/* The answer: 0 or -errno; never for want of an answer, then it runs again. */
	void (*answer)(struct groups *groups, struct request *request, int error);
	/* Its deadline has passed. */
	void (*expire)(struct groups *groups, struct request *request);
};

struct request {
	struct request *next;
	const struct request_kind *kind;
	struct groups *groups;
	uint64_t agent; /* handle */
	char unit[GROUP_NAME_MAX];
	sd_bus_slot *slot;	      /* of the call that is under way */
	uint64_t run_ns, deadline_ns; /* CLOCK_MONOTONIC */
	unsigned tries;
	bool is_done; /* to be freed at the end of the dispatch */

	struct policy_limits limits; /* PLACE, LIMIT */
	struct policy *policy;	     /* PLACE; a reference */
	bool is_relimited;	     /* PLACE: they have changed since it was sent */
	bool is_anew;		     /* PLACE: the agent has had a scope of that name, and has left it */
	char *state;		     /* PLACE: for the xattr */
	size_t state_length;
	char description[4 * POLICY_KEY_MAX + POLICY_NAME_MAX + 16];

	pid_t pid; /* PLACE, EVICT */
	uint64_t start_ticks;
	int pid_fd;
	char origin[AGENT_CGROUP_MAX];
	bool has_no_origin; /* RELEASE, EVICT: it has gone, or systemd refuses */
	bool is_frozen;	    /* RELEASE: by us */
};

#define BUS_NAME_SIZE 256 /* D-Bus Specification, "Valid Names": 255, and the 0 */

struct systemd {
	sd_bus *bus;
	bool is_private;	   /* by systemd's own socket */
	char owner[BUS_NAME_SIZE]; /* the connection that has systemd's name; "": none that is known */
	int bus_fd;		   /* as in groups->epoll_fd */
	int timer_fd;
	uint64_t reconnect_ns, backoff_ns; /* reconnect_ns 0: connected */
	unsigned scopes_made;		   /* for those who are let go and have no origin */
	int placing_fd, scopes_fd;	   /* directories, see systemd_scopes.c; -EBADF: none */
	struct request *requests;
};

/* systemd_bus.c */
int systemd_bus_open(struct groups *groups) _must_check_; /* once, waits */
void systemd_bus_close(struct groups *groups);
int systemd_dispatch(struct groups *groups);
/* A call to the manager, to be filled in and sent. -ENOTCONN: nobody to send it to. */
int systemd_message(struct groups *groups, const char *method, sd_bus_message **ret_message) _must_check_;
void systemd_call(struct groups *groups, struct request *request, sd_bus_message *message, int error);
/* Have the loop come by when the next request is due or the bus wants to. */
void systemd_arm(struct groups *groups);
int systemd_errno(const sd_bus_error *error);

/* systemd_request.c */
struct request *request_new(struct groups *groups, const struct request_kind *kind, uint64_t agent);
/* Of one that hasn't begun; NULL is fine. */
void request_free(struct request *request);
/* Runs it for the first time. */
void request_begin(struct groups *groups, struct request *request);
void request_again(struct request *request, uint64_t after_ns);
/* Its deadline begins anew. */
void request_extend(struct request *request);
void request_end(struct request *request);
void requests_run(struct groups *groups);
/* The connection is lost: whatever waits for an answer is asked again. */
void requests_restart(struct groups *groups);
void requests_free(struct groups *groups);
struct request *request_find(struct groups *groups, const struct request_kind *kind, uint64_t agent);

/* systemd_unit.c */
bool unit_is_scope(const char *name);
int unit_name_of(const struct agent *agent, char ret_name[static GROUP_NAME_MAX]) _must_check_;
/* The unit to whose group a path belongs, and the rest of the path: "" or "/BELOW". */
int unit_of_path(const char *path, char *ret_unit, char *ret_below, size_t size) _must_check_;
int unit_append_limits(sd_bus_message *message, const struct policy_limits *limits) _must_check_;
int unit_start_scope(struct groups *groups, const char *name, const char *slice, const char *description,
		     sd_bus_message **ret_message) _must_check_;

/* systemd_place.c */
int systemd_place(struct groups *groups, const struct action *action);
void systemd_job_removed(struct groups *groups, const char *unit, const char *result);
/* The directory of one in the slice. */
int unit_open(struct groups *groups, const char *unit) _must_check_;
extern const struct request_kind request_place;
/* systemd_scopes.c */
int scopes_open(struct groups *groups, const char *runtime_dir) _must_check_;
/* Before systemd is asked for it; and what became of that. */
int scopes_begin(struct groups *groups, const struct request *request) _must_check_;
void scopes_fail(struct groups *groups, const char *unit);
void scopes_place(struct groups *groups, const char *unit);
/* Its agent's end is known. */
void scopes_end(struct groups *groups, const char *unit);
/* Gives scopes that an earlier govd had asked for the state that they don't have yet, for which it waits for systemd,
 * at most 10 s; and tells of agents whose scopes have gone meanwhile. */
int scopes_restore(struct groups *groups) _must_check_;
/* systemd_sweep.c */
/* Has a scope stopped that nobody is in. */
void systemd_sweep(struct groups *groups, const char *unit);
/* systemd_limit.c */
int systemd_limit(struct groups *groups, const struct action *action);
/* Whether memory's end ends the whole group, in a scope, which is delegated. */
void systemd_set_oom(struct groups *groups, struct group *group, const struct policy_limits *limits);
/* systemd may have written the limits of all units anew. */
void systemd_set_oom_again(struct groups *groups);
void systemd_relimit(struct groups *groups, uint64_t agent, const char *unit, const struct policy_limits *limits);
/* systemd_release.c */
int systemd_release(struct groups *groups, const struct action *action);
int systemd_remove(struct groups *groups, const struct action *action);
int systemd_evict(struct groups *groups, const struct action *action);
void systemd_evict_pid(struct groups *groups, pid_t pid, const char *origin);
int systemd_remove_dirs(struct groups *groups, struct group *group);

extern const struct group_ops systemd_ops;

#endif
