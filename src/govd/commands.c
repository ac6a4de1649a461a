/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <limits.h>

#include "base/log.h"
#include "base/text.h"

/* The calls that change something: each becomes an EVENT_COMMAND, and the core answers it. */

#define RUN_ARGS_MAX PROC_ARGS_MAX

/* A process that is about to exec: what it will be. The strings live as long as this. */
struct future {
	char args[RUN_ARGS_MAX];
	char script[PATH_MAX];
};

static void future_of(struct future *future, struct proc *proc, const char *executable, char *const *argv)
{
	struct text args = TEXT_ON(future->args);
	char cwd_link[64], cwd[PATH_MAX];
	int index;
	size_t n;

	future->args[0] = '\0';
	for (n = 0; argv[n]; n++) {
		if (n)
			text_add(&args, " ");
		text_add(&args, argv[n]);
	}
	if (args.truncated)
		proc->flags |= PROC_ARGS_TRUNCATED;
	proc->exe = executable;
	proc->args = future->args;
	proc->script = NULL;
	index = proc_script_index(text_basename(executable), (const char *const *)argv, n);
	if (index < 0)
		return;
	snprintf(cwd_link, sizeof(cwd_link), "/proc/%d/cwd", (int)proc->pid);
	if (argv[index][0] == '/') {
		text_copy(future->script, sizeof(future->script), argv[index]);
	} else {
		ssize_t length = readlink(cwd_link, cwd, sizeof(cwd) - 1);

		if (length < 0)
			return;
		cwd[length] = '\0';
		if ((size_t)snprintf(future->script, sizeof(future->script), "%s/%s", cwd, argv[index]) >=
		    sizeof(future->script))
			return;
	}
	proc->script = future->script;
}

int call_run(uint64_t request, const struct bus_peer *peer, const char *policy, const char *key, bool reuse,
	     const char *executable, char *const *argv, sd_bus_error *error, void *userdata)
{
	struct manager *manager = userdata;
	struct event event = {.kind = EVENT_COMMAND};
	struct proc *proc = &event.command.proc;
	struct future future;
	int r;

	if (*executable != '/' || !argv[0])
		return sd_bus_error_set(error, GOV_ERROR_INVALID,
					"Run wants the absolute path of an executable and its arguments");
	if (peer->pid <= 0)
		return sd_bus_error_set(error, GOV_ERROR_NO_SUCH_PROCESS,
					"it isn't certain which process has asked for this: let the one that is to be "
					"placed connect itself, as its user alone");
	r = procfs_read(manager->procfs, peer->pid, proc);
	if (r < 0 || (peer->start_ticks && proc->start_ticks != peer->start_ticks))
		return sd_bus_error_setf(error, GOV_ERROR_NO_SUCH_PROCESS,
					 "process %d, which asked for this, has ended", (int)peer->pid);
	future_of(&future, proc, executable, argv);
	event.command.command = COMMAND_RUN;
	event.command.request = request;
	event.command.uid = peer->uid;
	event.command.granted = peer->is_granted;
	event.command.gids = peer->groups;
	event.command.n_gids = peer->n_groups;
	event.command.policy = policy;
	event.command.key = key;
	event.command.reuse = reuse;
	manager_dispatch(manager, &event);
	return 0;
}

int call_adopt(uint64_t request, const struct bus_peer *peer, uint32_t pid, const char *policy, sd_bus_error *error,
	       void *userdata)
{
	struct manager *manager = userdata;
	struct event event = {.kind = EVENT_COMMAND};

	if (pid == 0 || pid > INT_MAX || procfs_read(manager->procfs, (pid_t)pid, &event.command.proc) < 0)
		return sd_bus_error_setf(error, GOV_ERROR_NO_SUCH_PROCESS, "there is no process %u", pid);
	event.command.command = COMMAND_ADOPT;
	event.command.request = request;
	event.command.uid = peer->uid;
	event.command.granted = peer->is_granted;
	event.command.policy = policy;
	manager_dispatch(manager, &event);
	return 0;
}

int call_find_agent(struct manager *manager, const char *name, const struct agent **ret_agent, sd_bus_error *error)
{
	int r = state_agent_find(manager->state, name, ret_agent);

	if (r == -ENOTUNIQ)
		return sd_bus_error_setf(error, GOV_ERROR_AMBIGUOUS,
					 "%s names several agents: give more of the id; `govctl list` shows them",
					 name);
	if (r < 0)
		return sd_bus_error_setf(error, GOV_ERROR_NO_SUCH_AGENT,
					 "there is no agent %s: `govctl list` shows those that live", name);
	return 0;
}

int call_command(uint64_t request, const struct bus_peer *peer, enum command command, const char *id,
		 sd_bus_error *error, void *userdata)
{
	struct manager *manager = userdata;
	struct event event = {.kind = EVENT_COMMAND};
	const struct agent *agent;
	int r;

	if (command == COMMAND_DRAIN || command == COMMAND_RESUME) {
		event.command.policy = id;
	} else {
		r = call_find_agent(manager, id, &agent, error);
		if (r < 0)
			return r;
		event.command.agent = agent->handle;
	}
	event.command.command = command;
	event.command.request = request;
	event.command.uid = peer->uid;
	event.command.granted = peer->is_granted;
	manager_dispatch(manager, &event);
	return 0;
}

int call_lease(uint64_t request, const struct bus_peer *peer, const char *id, uint64_t lease_ms, sd_bus_error *error,
	       void *userdata)
{
	struct manager *manager = userdata;
	struct event event = {.kind = EVENT_COMMAND};
	const struct agent *agent;
	int r;

	r = call_find_agent(manager, id, &agent, error);
	if (r < 0)
		return r;
	event.command.command = lease_ms == BUS_LEASE_RENEW ? COMMAND_TOUCH : COMMAND_LEASE;
	event.command.lease_ns = lease_ms == BUS_LEASE_RENEW ? 0 : lease_ms * NSEC_PER_MSEC;
	event.command.request = request;
	event.command.agent = agent->handle;
	event.command.uid = peer->uid;
	event.command.granted = peer->is_granted;
	event.command.gids = peer->groups;
	event.command.n_gids = peer->n_groups;
	manager_dispatch(manager, &event);
	return 0;
}

/* ---- rights ---- */

bool call_may_connect(uid_t uid, const gid_t *groups, size_t n_groups, void *userdata)
{
	struct manager *manager = userdata;

	for (size_t i = 0; i < manager->policies->n; i++)
		if (policy_allows(manager->policies->policies[i], uid, groups, n_groups))
			return true;
	return false;
}

void call_refused(const struct bus_peer *peer, const char *method, void *userdata)
{
	struct manager *manager = userdata;
	struct incident incident = {
		.kind = INCIDENT_REFUSED, .rule = "allow", .action = "call", .result = "refused", .by_uid = peer->uid};

	incident_add_text(&incident, "method", method);
	incident_add_number(&incident, "pid", (uint64_t)peer->pid);
	recorder_add(manager->recorder, manager_realtime_ms(), &incident);
}

void call_named(int error, _unused_ void *userdata)
{
	if (error == 0)
		log_info("on the system bus as " GOV_BUS_SERVICE);
	else if (error == -ENOTCONN)
		log_info("the system bus has gone; govd is on it again when it comes back");
	else if (error == -EEXIST)
		log_warning("another process has the name " GOV_BUS_SERVICE " on the system bus");
	else
		log_warning("the policy of the system bus doesn't let govd have the name " GOV_BUS_SERVICE
			    ": is " GOV_BUS_SERVICE ".conf in /usr/share/dbus-1/system.d?");
}
