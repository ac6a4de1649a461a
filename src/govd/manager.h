/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVD_MANAGER_H
#define GOV_GOVD_MANAGER_H

#include <systemd/sd-event.h>

#include "act/group.h"
#include "conf/conf.h"
#include "core/step.h"
#include "govd/activity.h"
#include "govd/connects.h"
#include "govd/emergency.h"
#include "govd/tracer.h"
#include "out/bus.h"
#include "out/journal.h"
#include "out/recorder.h"
#include "sense/bpf.h"
#include "sense/hold.h"
#include "sense/procfs.h"

/* The one owner of everything in govd: one thread, one sd_event loop. */

#define POLICY_DIRS_MAX 16

struct manager_options {
	const char *policy_dirs[POLICY_DIRS_MAX];
	size_t n_policy_dirs;
	const char *runtime_dir, *state_dir, *slice, *backend;
	const char *config; /* govd.yaml; NULL: in the first policy directory's parent */
	const char *record; /* a trace of all that the core is told; NULL: none */
	size_t ring_bytes;  /* 0: the default */
	bool observe;
};

/* An event that waits for its turn: results of actions, with the strings that they borrow. */
struct queued_event {
	struct event event;
	char cgroup[AGENT_CGROUP_MAX], origin[AGENT_CGROUP_MAX];
};

/* Whose memory pressure is watched: pressure.c. */
struct manager_pressure {
	struct idmap by_agent; /* handle -> struct pressure_watch, owned */
	int inotify_fd;
	sd_event_source *source;
	sd_event_source *slice; /* its trigger; NULL: this host has none */
	bool is_told;		/* that this host tells of no pressure */
};

struct manager_counts {
	uint64_t records; /* of the kernel, received */
	uint64_t lost;	  /* of the kernel, all kinds */
	uint64_t resyncs;
	uint64_t actions_failed;
	uint64_t holds_expired;
};

struct manager {
	struct manager_options options;
	sd_event *event;
	sd_event_source *tick_source, *hold_source, *hold_timer, *recorder_source, *census_source, *sockets_source,
		*connects_source, *connects_rest;
	struct state *state;
	struct tracer *tracer; /* NULL: nothing is recorded */
	sd_event_source *tracer_source;
	struct actions actions;
	struct queued_event *queue; /* a ring */
	size_t queue_head, queue_n, queue_size;
	bool is_dispatching;
	struct policy_set *policies;
	struct conf_errors policy_errors;
	struct conf_host host;
	struct bpf_sense *bpf;
	struct manager_connects connects;
	struct manager_sockets sockets;
	struct manager_emergency emergency;
	struct manager_pressure pressure;
	struct manager_activity activity;
	struct procfs *procfs;
	struct hold *hold;
	struct groups *groups;
	struct recorder *recorder;
	struct journal journal;
	struct bus *bus;
	struct manager_counts counts;
	struct gov_count seen_counts[GOV_RECORD_KINDS]; /* at the last look */
	bool census_wanted, census_scans_proc;
	uint64_t census_at_us; /* CLOCK_MONOTONIC; of the one that is wanted */
	uint64_t left_us;      /* when the last census was due that a root asked for by leaving its group */
	uint64_t handled_mark; /* the highest whose exec was dealt with */
	uint64_t drained_mark; /* and that of when the ring was empty the last time */
	struct idmap parents;  /* agent's handle -> pidfd of who has started its root, parents.c */
	sd_event_source *parents_source;
	sd_event_source *restarts_source;
	sd_event_source *drain_source; /* drain.c; NULL: govd isn't ending */
	uint64_t restarts_saved;       /* state_restart_changes() of what is in the file */
	bool restarts_failed;
	bool hold_is_down;
	pid_t recorder_pid; /* that is being listened to; 0: none */
	uint64_t hold_wait_ns, hold_begun_ns;
};

/* What goes wrong is logged. */
int manager_new(const struct manager_options *options, struct manager **ret_manager) _must_check_;
struct manager *manager_free(struct manager *manager);
DEFINE_CLEANUP(struct manager *, manager_free)
/* Until SIGTERM or SIGINT. */
int manager_run(struct manager *manager) _must_check_;

/* Watches a descriptor that another module owns and may close at any time: by a copy, so that the number isn't given to
 * others. */
int manager_watch_fd(struct manager *manager, sd_event_source **source, int fd,
		     sd_event_io_handler_t handler) _must_check_;

/* Gives a descriptor to its source, which closes it; where that fails there is neither any more. */
int manager_give_fd(sd_event_source **source, int *fd) _must_check_;
/* Has the loop call the handler after this time, once for all who ask meanwhile. */
void manager_call_after(struct manager *manager, sd_event_source **source, uint64_t after_us,
			sd_event_time_handler_t handler);

/* Microseconds of CLOCK_MONOTONIC: the next whole second. What is due then, within REST_ACCURACY_US, is done in one
 * wake-up: at rest each costs more than what is done. */
#define REST_ACCURACY_US 1000
uint64_t manager_next_second_us(void);
uint64_t manager_now_ns(void);	    /* CLOCK_MONOTONIC */
uint64_t manager_realtime_ms(void); /* CLOCK_REALTIME */
/* For people: seconds, in whole milliseconds. */
double manager_seconds(uint64_t ns);

/* dispatch.c: event -> step() -> actions -> act -> record. time_ns is filled in. */
void manager_dispatch(struct manager *manager, struct event *event);
/* From within an action. The strings of a RESULT are copied. */
void manager_enqueue(struct manager *manager, const struct event *event);
void manager_count_lost(struct manager *manager);

/* perform.c: one action. */
void manager_perform(struct manager *manager, const struct action *action);

/* sensors.c: what comes in. */
int manager_open_sensors(struct manager *manager) _must_check_;
void manager_drain_ring(struct manager *manager);
void manager_read_ring(struct manager *manager);
void manager_read_ring_briefly(struct manager *manager); /* not all of it where very much is told */
void manager_got_record(const struct gov_record_head *head, void *userdata);

/* census.c; reason: as of ACTION_CENSUS. */
int manager_open_census(struct manager *manager) _must_check_;
void manager_ask_census(struct manager *manager, const char *reason);
void manager_census(struct manager *manager);
/* Freshens every agent's CPU time, memory and last sign of life. */
void manager_sample(struct manager *manager);

/* oom.c */
void oom_got_record(struct manager *manager, const struct gov_record_oom *record);
void oom_got_kill(struct manager *manager, const struct gov_record_kill *record);

/* fanout.c */
void fanout_pace(struct manager *manager, const struct agent *agent);
void fanout_forget(struct manager *manager, const struct agent *agent);
void fanout_got_record(struct manager *manager, const struct gov_record_fanout *record);

/* tools.c */
void tools_empty(uint64_t agent, const struct tool_id *tool, void *userdata);
void tools_found(struct manager *manager, const struct agent *agent);
void tools_write(struct manager *manager, struct bus_writer *writer, const struct agent *agent);
/* Only from within an action. */
void tools_weigh(struct manager *manager, const struct action *action);
void tools_look_at(struct manager *manager, const struct action *action);

/* pressure.c */
int manager_open_pressure(struct manager *manager) _must_check_;
void pressure_done(struct manager *manager);
/* The slice is another group now. */
void pressure_watch_slice(struct manager *manager);
void pressure_watch(struct manager *manager, const struct action *action);
void pressure_look(struct manager *manager, const struct action *action);
void pressure_forget(struct manager *manager, const struct agent *agent);
/* `pressure`, for show. */
void pressure_write(struct manager *manager, struct bus_writer *writer, const struct agent *agent);

/* drain.c: the end of govd and, with drain_on_stop, of its agents before */
int drain_begin(struct manager *manager) _must_check_;
/* After each turn: whether all of them have ended. */
void drain_check(struct manager *manager);

/* restarts.c: STATE_DIR/restarts */
void restarts_load(struct manager *manager);
/* Has it written soon, when something has changed. */
void restarts_check(struct manager *manager);
void restarts_save(struct manager *manager);

/* parents.c */
void parents_watch(struct manager *manager, const struct action *action);
void parents_forget(struct manager *manager, uint64_t agent);
void parents_done(struct manager *manager);

/* sweep.c; only from within an action. */
void manager_sweep(struct manager *manager, const struct agent *agent);

/* A helper: neither governed nor acted on. */
int manager_protect(struct manager *manager, pid_t pid) _must_check_;

/* holds.c: govd-hold. */
int manager_open_hold(struct manager *manager) _must_check_;
/* The mark that it carries now; 0: none. */
uint64_t manager_mark_of(struct manager *manager, pid_t pid);

/* records.c: govd-recorder. */
int manager_open_recorder(struct manager *manager) _must_check_;
/* Listens to it, also when it is another process now. */
void manager_watch_recorder(struct manager *manager);

/* reload.c */
int manager_load_policies(struct manager *manager) _must_check_;

/* calls.c: what govctl asks for; the others one a file: agents, policies, status, explain, commands. */
extern const struct bus_calls manager_calls;
int call_show(sd_bus_message *reply, const char *id, sd_bus_error *error, void *userdata);
int call_explain(sd_bus_message *reply, const char *what, sd_bus_error *error, void *userdata);
int call_test_policy(sd_bus_message *reply, uint32_t pid, sd_bus_error *error, void *userdata);
int call_list_policies(sd_bus_message *reply, void *userdata);
int call_show_policy(sd_bus_message *reply, const char *name, sd_bus_error *error, void *userdata);
int call_reload(sd_bus_message *reply, sd_bus_error *error, void *userdata);
int call_status(sd_bus_message *reply, void *userdata);
int call_run(uint64_t request, const struct bus_peer *peer, const char *policy, const char *key, bool reuse,
	     const char *executable, char *const *argv, sd_bus_error *error, void *userdata);
int call_adopt(uint64_t request, const struct bus_peer *peer, uint32_t pid, const char *policy, sd_bus_error *error,
	       void *userdata);
int call_command(uint64_t request, const struct bus_peer *peer, enum command command, const char *id,
		 sd_bus_error *error, void *userdata);
int call_lease(uint64_t request, const struct bus_peer *peer, const char *id, uint64_t lease_ms, sd_bus_error *error,
	       void *userdata);
bool call_may_connect(uid_t uid, const gid_t *groups, size_t n_groups, void *userdata);
void call_refused(const struct bus_peer *peer, const char *method, void *userdata);
void call_named(int error, void *userdata);
/* The agent of this name, or an error in words. */
int call_find_agent(struct manager *manager, const char *name, const struct agent **ret_agent, sd_bus_error *error);
/* The fields that list and show have in common, into the a{sv} that is open. */
void agent_write(struct manager *manager, struct bus_writer *writer, const struct agent *agent);
void agent_write_leak(struct bus_writer *writer, const struct agent *agent);
/* What will happen to it next, if something is due. */
void agent_write_next(struct bus_writer *writer, const struct agent *agent);

/* The path of a helper program: beside govd's own executable, else in libexec. */
int program_path(const char *name, char *path, size_t size) _must_check_;

#endif
