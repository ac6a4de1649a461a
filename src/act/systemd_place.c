/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "act/saved.h"
#include "act/systemd.h"
#include "base/text.h"

/*
 * Placing: systemd is asked for a scope with the process in it. That it is done is seen by where the process is: the
 * signal JobRemoved and the answers only say when to look, and whatever is lost of them is made good by a look a second
 * later.
 */

#define UNIT_EXISTS_RETRY_NS (50 * NSEC_PER_MSEC) /* the scope of that name is about to end */
#define RETRIES_DOUBLED 4			  /* up to 800 ms */

static bool is_in_unit(const struct groups *groups, const struct request *request)
{
	char proc_cgroup[PROC_CGROUP_SIZE], path[PATH_MAX];
	size_t slice = strlen(groups->slice_below), unit = strlen(request->unit);

	if (proc_cgroup_read(request->pid, proc_cgroup) < 0 ||
	    layout_path_of(&groups->layout.v2, proc_cgroup, path, sizeof(path)) < 0)
		return false;
	return strncmp(path, groups->slice_below, slice) == 0 && path[slice] == '/' &&
	       strncmp(path + slice + 1, request->unit, unit) == 0 &&
	       (path[slice + 1 + unit] == '\0' || path[slice + 1 + unit] == '/');
}

/* Somebody has stopped the slice, and a new unit has started it again: it is another group now. */
static bool slice_is_another(struct groups *groups)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	if (hierarchy_open(&groups->layout.v2, groups->slice_below, &fd) < 0 || fstat(fd, &st) < 0 ||
	    st.st_ino == groups->slice_id)
		return false;
	close_p(&groups->slice_fd);
	groups->slice_fd = TAKE_FD(fd);
	groups->slice_id = st.st_ino;
	if (groups->events.slice)
		groups->events.slice(groups->events.userdata);
	return true;
}

int unit_open(struct groups *groups, const char *unit)
{
	int fd = openat(groups->slice_fd, unit, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ENODEV) && slice_is_another(groups))
		fd = openat(groups->slice_fd, unit, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void place_fail(struct groups *groups, struct request *request, int error)
{
	struct event event = {.kind = EVENT_RESULT};

	event.result.action = ACTION_PLACE;
	event.result.agent = request->agent;
	event.result.pid = request->pid;
	event.result.error = -error;
	if (error != -ESRCH)
		groups->counts.failed++;
	/* systemd may start it yet: then the next govd finds whose it is. */
	if (error != -ETIMEDOUT)
		scopes_fail(groups, request->unit);
	request_end(request);
	groups_tell_event(groups, &event);
}

static int place_adopt(struct groups *groups, struct request *request, int unit_fd)
{
	_cleanup_close_ int fd = unit_fd;
	struct group *group;
	int r;

	if (fsetxattr(fd, SAVED_XATTR, request->state, request->state_length, 0) < 0)
		return -errno;
	scopes_place(groups, request->unit);
	r = group_add(groups, request->agent, request->unit, TAKE_FD(fd), &group);
	if (r < 0)
		return r;
	watch_add(groups, group);
	if (policy_has_tools(request->policy) && group_split(groups, group, request->policy) < 0)
		groups->counts.degraded++;
	systemd_set_oom(groups, group, &request->limits);
	group->is_occupied = true;
	group_set_root(group, request->pid, request->pid_fd);
	/* Reaped meanwhile: its pid may have been another process's already when systemd moved it. */
	if (!process_is_there(request->pid_fd))
		(void)!group_evict(groups, group, request->pid, request->start_ticks, request->origin);
	/* It may have ended before there was a watch. */
	watch_check_soon(groups, group);
	return 0;
}

/* The scope is there; the process, or what it has left, is in it. */
static void place_finish(struct groups *groups, struct request *request)
{
	int r = unit_open(groups, request->unit);

	if (r >= 0)
		r = place_adopt(groups, request, r);
	if (r == -ENOENT || r == -ENODEV) {
		/* The scope has ended meanwhile with all that was in it. */
		place_fail(groups, request, -ESRCH);
		return;
	}
	if (r < 0) {
		/* For want of descriptors or memory. It has its limits by now, so better late than left alone. */
		request_again(request, NSEC_PER_SEC);
		return;
	}
	groups->counts.placed++;
	if (request->is_relimited)
		systemd_relimit(groups, request->agent, request->unit, &request->limits);
	request_end(request);
	groups_tell_placed(groups, request->agent, request->pid, request->origin);
}

/* Whether there is nothing to wait for any more. */
static bool place_look(struct groups *groups, struct request *request)
{
	_cleanup_close_ int fd = -EBADF;

	if (is_in_unit(groups, request)) {
		place_finish(groups, request);
		return true;
	}
	if (process_lives(request->pid, request->start_ticks))
		return false;
	fd = unit_open(groups, request->unit);
	if (fd >= 0 && tree_read_flag(fd, "cgroup.events", "populated") == 1) {
		place_finish(groups, request);
		return true;
	}
	place_fail(groups, request, -ESRCH);
	if (fd >= 0)
		systemd_sweep(groups, request->unit);
	return true;
}

/* The scope is ours by its name, and what is delegated may be written to. */
static bool place_move(struct groups *groups, struct request *request)
{
	_cleanup_close_ int fd = unit_open(groups, request->unit);

	/* That of an agent that has left it is about to end: the next one is to be its. */
	return fd >= 0 && !request->is_anew && process_is_there(request->pid_fd) && tree_move(fd, request->pid) == 0 &&
	       place_look(groups, request);
}

static int place_message(struct groups *groups, const struct request *request, sd_bus_message **ret_message)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	int r;

	r = unit_start_scope(groups, request->unit, groups->slice, request->description, &message);
	if (r < 0)
		return r;
	r = sd_bus_message_append(message, "(sv)(sv)", "PIDs", "au", 1, (uint32_t)request->pid, "Delegate", "b", 1);
	if (r < 0)
		return r;
	r = unit_append_limits(message, &request->limits);
	if (r < 0)
		return r;
	r = sd_bus_message_close_container(message);
	if (r < 0)
		return r;
	r = sd_bus_message_append(message, "a(sa(sv))", 0);
	if (r < 0)
		return r;
	*ret_message = TAKE_PTR(message);
	return 0;
}

static void place_run(struct groups *groups, struct request *request)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	int r;

	if (place_look(groups, request))
		return;
	/* A scope of this name that is there without it: of a call whose answer was lost. */
	if (request->tries && place_move(groups, request))
		return;
	r = place_message(groups, request, &message);
	systemd_call(groups, request, message, r);
}

static void place_answer(struct groups *groups, struct request *request, int error)
{
	/* The job is queued: JobRemoved comes, or else a second from now a look. */
	if (error == 0 || place_look(groups, request))
		return;
	if (error == -EBUSY) {
		request_extend(request);
		request_again(request, NSEC_PER_SEC);
	} else if (error != -EEXIST) {
		place_fail(groups, request, error);
	} else if (!place_move(groups, request)) {
		request_again(request, UNIT_EXISTS_RETRY_NS << MIN2(request->tries, RETRIES_DOUBLED));
	}
}

static void place_expire(struct groups *groups, struct request *request)
{
	(void)place_look(groups, request);
	if (request->is_done)
		return;
	/* It isn't governed, so it is to have no limits, either. */
	if (is_in_unit(groups, request))
		systemd_evict_pid(groups, request->pid, request->origin);
	place_fail(groups, request, -ETIMEDOUT);
}

const struct request_kind request_place = {.run = place_run, .answer = place_answer, .expire = place_expire};

void systemd_job_removed(struct groups *groups, const char *unit, const char *result)
{
	if (!unit_is_scope(unit))
		return;
	for (struct request *request = groups->systemd->requests; request; request = request->next) {
		if (request->is_done || request->kind != &request_place || !streq(request->unit, unit))
			continue;
		/* The job of the scope's end is told by the same signal: then the next try comes soon. */
		if (!place_look(groups, request) && !(streq(result, "done") && place_move(groups, request)))
			request_again(request, UNIT_EXISTS_RETRY_NS);
		return;
	}
	/* Of one that had ended when systemd came to it. */
	if (streq(result, "done"))
		systemd_sweep(groups, unit);
}

/* Fills in what the request keeps of the agent, which is only lent to us. */
static int place_prepare(struct groups *groups, struct request *request, const struct action *action)
{
	struct agent saved = *action->agent;
	char proc_cgroup[PROC_CGROUP_SIZE], state[SAVED_SIZE], key[4 * POLICY_KEY_MAX];
	int r;

	request->pid = action->process.pid ? action->process.pid : saved.root_pid;
	request->start_ticks = action->process.pid ? action->process.start_ticks : saved.root_start_ticks;
	r = process_open(&groups->guard, request->pid, &request->start_ticks, &request->pid_fd);
	if (r < 0)
		return r;
	r = proc_cgroup_read(request->pid, proc_cgroup);
	if (r < 0)
		return r;
	request->is_anew = !str_empty(saved.origin);
	if (!request->is_anew)
		origin_format(&groups->layout, proc_cgroup, request->origin);
	else
		text_copy(request->origin, sizeof(request->origin), saved.origin);
	saved.origin = request->origin;
	r = unit_name_of(&saved, request->unit);
	if (r < 0)
		return r;
	request->limits = saved.policy->limits;
	request->policy = policy_ref(saved.policy);
	/* It becomes a line of a unit file: without control characters and lone backslashes. */
	text_escape(key, sizeof(key), saved.key);
	snprintf(request->description, sizeof(request->description), "govd: %s%s%s", saved.policy->name,
		 *key ? "/" : "", key);
	request->state_length = saved_format(&saved, state);
	request->state = malloc(request->state_length);
	if (!request->state)
		return -ENOMEM;
	memcpy(request->state, state, request->state_length);
	return 0;
}

/* Its group is there already: another process of its lineage joins it. */
static int place_again(struct groups *groups, const struct action *action)
{
	struct action move = *action;
	int r;

	if (!move.process.pid) {
		move.process.pid = action->agent->root_pid;
		move.process.start_ticks = action->agent->root_start_ticks;
	}
	r = native_move(groups, &move);
	if (r < 0)
		groups_tell(groups, action, r);
	else
		groups_tell_placed(groups, action->agent->handle, move.process.pid, action->agent->origin);
	return r;
}

int systemd_place(struct groups *groups, const struct action *action)
{
	struct request *request;
	int r;

	if (request_find(groups, &request_place, action->agent->handle))
		return 0;
	if (group_find(groups, action->agent))
		return place_again(groups, action);
	if (action->agent->placement == POLICY_PLACEMENT_NESTED)
		return native_place(groups, action);
	request = request_new(groups, &request_place, action->agent->handle);
	r = request ? place_prepare(groups, request, action) : -ENOMEM;
	if (r < 0) {
		groups_tell(groups, action, r);
		request_free(request);
		return r;
	}
	if (scopes_begin(groups, request) < 0)
		groups->counts.degraded++;
	request_begin(groups, request);
	return 0;
}
