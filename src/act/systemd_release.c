/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/systemd.h"
#include "base/text.h"

/*
 * Letting go: systemd moves the processes back to the unit that they came from (AttachProcessesToUnit). When that has
 * gone, or isn't delegated, which systemd refuses, they get a scope without limits in system.slice. The agent's own
 * scope ends by itself when it is empty.
 */

#define PASS_PIDS 256  /* processes in one call */
#define PASSES_MAX 200 /* those who are forked meanwhile come in the next */
#define PASSES_FREE 4  /* from then on the scope is frozen: who leaves it runs on */
#define PASS_AGAIN_NS (20 * NSEC_PER_MSEC)
#define LET_GO_SLICE "system.slice"
#define LET_GO_DESCRIPTION "Let go by govd"

static int attach_message(struct groups *groups, const struct request *request, const uint32_t *pids, size_t n,
			  sd_bus_message **ret_message)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	char path[PATH_MAX], unit[PATH_MAX], below[PATH_MAX];
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (origin_path(request->origin, &groups->layout.v2, path, sizeof(path)) < 0)
		return -ENOENT;
	/* A unit's group that isn't there is systemd's affair: it makes it, or refuses. */
	(void)!origin_open(groups, &groups->layout.v2, path, &fd);
	if (unit_of_path(path, unit, below, sizeof(unit)) < 0)
		return -ENOENT;
	r = systemd_message(groups, "AttachProcessesToUnit", &message);
	if (r >= 0)
		r = sd_bus_message_append(message, "ss", unit, below);
	if (r >= 0)
		r = sd_bus_message_append_array(message, 'u', pids, n * sizeof(*pids));
	if (r < 0)
		return r;
	*ret_message = TAKE_PTR(message);
	return 0;
}

static int scope_message(struct groups *groups, const uint32_t *pids, size_t n, sd_bus_message **ret_message)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	char name[64];
	int r;

	snprintf(name, sizeof(name), "govd-released-%d-%u.scope", (int)getpid(), groups->systemd->scopes_made++);
	r = unit_start_scope(groups, name, LET_GO_SLICE, LET_GO_DESCRIPTION, &message);
	if (r < 0)
		return r;
	r = sd_bus_message_open_container(message, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(message, "s", "PIDs");
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'v', "au");
	if (r >= 0)
		r = sd_bus_message_append_array(message, 'u', pids, n * sizeof(*pids));
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_message_append(message, "a(sa(sv))", 0);
	if (r < 0)
		return r;
	*ret_message = TAKE_PTR(message);
	return 0;
}

static void send_away(struct groups *groups, struct request *request, const uint32_t *pids, size_t n)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	int r = -ENOENT;

	if (!request->has_no_origin)
		r = attach_message(groups, request, pids, n, &message);
	if (r == -ENOENT) {
		request->has_no_origin = true;
		r = scope_message(groups, pids, n, &message);
	}
	systemd_call(groups, request, message, r);
}

struct pass {
	uint32_t pids[PASS_PIDS];
	size_t n;
};

static int pass_pid(pid_t pid, void *userdata)
{
	struct pass *pass = userdata;

	if (pass->n < PASS_PIDS)
		pass->pids[pass->n++] = (uint32_t)pid;
	return 0;
}

static void release_end(struct groups *groups, struct request *request, int error)
{
	struct group *group = idmap_get(&groups->by_agent, request->agent);
	struct event event = {.kind = EVENT_RESULT};

	if (group && request->is_frozen)
		(void)!group_freeze_briefly(group, false);
	/* Not all could leave: their end is told again. */
	if (group && error < 0) {
		group->is_occupied = true;
		watch_check_soon(groups, group);
	}
	if (group && error == 0) {
		(void)systemd_remove_dirs(groups, group);
		group_drop(groups, group);
	}
	event.result.action = ACTION_RELEASE;
	event.result.agent = request->agent;
	event.result.error = -error;
	request_end(request);
	groups_tell_event(groups, &event);
}

static void release_run(struct groups *groups, struct request *request)
{
	struct group *group = idmap_get(&groups->by_agent, request->agent);
	struct pass pass = {.n = 0};
	int r = 0;

	if (group && group->v2_fd >= 0)
		r = tree_pids(group->v2_fd, pass_pid, &pass);
	if (r < 0 || pass.n == 0 || request->tries >= PASSES_MAX) {
		release_end(groups, request, r < 0 ? r : pass.n ? -EBUSY : 0);
		return;
	}
	if (request->tries == PASSES_FREE && !request->is_frozen)
		request->is_frozen = group_freeze_briefly(group, true) == 0;
	send_away(groups, request, pass.pids, pass.n);
}

/* Done, or one of them has ended meanwhile, or the unit isn't there: the next look tells. */
static void release_answer(_unused_ struct groups *groups, struct request *request, int error)
{
	if (error < 0 && error != -ESRCH)
		request->has_no_origin = true;
	/* A scope's job may take a moment. */
	request_again(request, request->has_no_origin ? PASS_AGAIN_NS : 0);
}

static void release_expire(struct groups *groups, struct request *request)
{
	release_end(groups, request, -ETIMEDOUT);
}

static const struct request_kind request_release = {
	.run = release_run, .answer = release_answer, .expire = release_expire};

int systemd_release(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);
	struct request *request;

	/* No group: it has been let go before. */
	if (!group) {
		groups_tell(groups, action, 0);
		return 0;
	}
	if (!unit_is_scope(group->name))
		return native_release(groups, action);
	if (request_find(groups, &request_release, group->agent))
		return 0;
	request = request_new(groups, &request_release, group->agent);
	if (!request) {
		groups_tell(groups, action, -ENOMEM);
		return -ENOMEM;
	}
	text_copy(request->origin, sizeof(request->origin), action->agent->origin);
	group->freeze_deadline_ns = 0;
	/* That it empties is what is wanted here, and not the agent's end. */
	group->is_occupied = false;
	(void)!tree_freeze(group->v2_fd, false);
	request_begin(groups, request);
	return 0;
}

int systemd_remove_dirs(struct groups *groups, struct group *group)
{
	if (!unit_is_scope(group->name))
		return group_remove_dirs(groups, group);
	/*
	 * Where none was left for our watch (fs.inotify.max_user_watches is root's, who both are) there was none for
	 * systemd's, either, which then doesn't see that it is empty.
	 */
	if (group->watch < 0)
		systemd_sweep(groups, group->name);
	/* What is nested in it was made by the agent; the scope itself is systemd's. */
	return group->v2_fd >= 0 ? tree_prune(group->v2_fd) : 0;
}

int systemd_remove(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);
	int r = 0;

	if (group && !unit_is_scope(group->name))
		return native_remove(groups, action);
	/* No group: it has been removed before. */
	if (group) {
		r = tree_read_flag(group->v2_fd, "cgroup.events", "populated") == 1 ? -EBUSY : 0;
		if (r == 0) {
			(void)systemd_remove_dirs(groups, group);
			group_drop(groups, group);
		} else {
			/* Not empty after all: tell when it is. */
			group->is_occupied = true;
		}
	}
	groups_tell(groups, action, r);
	return r;
}

/* ---- one process ---- */

static void evict_run(struct groups *groups, struct request *request)
{
	uint32_t pid = (uint32_t)request->pid;

	if (process_lives(request->pid, request->start_ticks))
		send_away(groups, request, &pid, 1);
	else
		request_end(request);
}

static void evict_answer(struct groups *groups, struct request *request, int error)
{
	if (error < 0 && error != -ESRCH && !request->has_no_origin) {
		request->has_no_origin = true;
		request_again(request, 0);
		return;
	}
	if (error < 0 && error != -ESRCH)
		groups->counts.failed++;
	request_end(request);
}

static void evict_expire(struct groups *groups, struct request *request)
{
	groups->counts.failed++;
	request_end(request);
}

static const struct request_kind request_evict = {.run = evict_run, .answer = evict_answer, .expire = evict_expire};

void systemd_evict_pid(struct groups *groups, pid_t pid, const char *origin)
{
	struct request *request = request_new(groups, &request_evict, 0);
	struct process_stat stat;

	if (!request || process_read_stat(pid, &stat) < 0) {
		request_free(request);
		return;
	}
	request->pid = pid;
	request->start_ticks = stat.start_ticks;
	text_copy(request->origin, sizeof(request->origin), origin);
	request_begin(groups, request);
}

int systemd_evict(struct groups *groups, const struct action *action)
{
	uint64_t start_ticks = action->process.start_ticks;
	_cleanup_close_ int pid_fd = -EBADF;
	int r;

	r = process_open(&groups->guard, action->process.pid, &start_ticks, &pid_fd);
	if (r < 0)
		return r;
	systemd_evict_pid(groups, action->process.pid, action->agent->origin);
	return 0;
}
