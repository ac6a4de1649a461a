/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/stat.h>

#include "act/systemd.h"
#include "act/tool.h"
#include "base/text.h"

/* The systemd backend: its slice, and which action is whose. See systemd.h. */

#define SLICE_WAIT_NS (10 * NSEC_PER_SEC)
#define SLICE_LOOK_US 20000

static int call_slice(struct groups *groups, const char *method, sd_bus_message **ret_reply, struct text *words)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	bool is_start = streq(method, "StartUnit");
	int r;

	r = sd_bus_call_method(groups->systemd->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, method, &error,
			       ret_reply, is_start ? "ss" : "s", groups->slice, "fail");
	if (r < 0)
		text_addf(words, "systemd, asked to start %s: %s", groups->slice,
			  error.message ? error.message : strerror(-r));
	return r;
}

/* Where systemd has put it: a-b.slice is in a.slice. */
static int slice_find(struct groups *groups, struct text *words)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_free_ char *path = NULL;
	const char *object;
	int r;

	r = call_slice(groups, "LoadUnit", &reply, words);
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "o", &object);
	if (r < 0)
		return r;
	r = sd_bus_get_property_string(groups->systemd->bus, SYSTEMD_NAME, object, SYSTEMD_NAME ".Slice",
				       "ControlGroup", NULL, &path);
	if (r < 0)
		return r;
	if (*path != '/')
		return -ENOENT; /* not yet */
	if (!text_copy(groups->slice_below, sizeof(groups->slice_below), path) ||
	    strlen(path) + 1 + GROUP_NAME_MAX > AGENT_CGROUP_MAX)
		return -ENAMETOOLONG;
	text_copy(groups->slice_path, sizeof(groups->slice_path), path);
	return hierarchy_open(&groups->layout.v2, path, &groups->slice_fd);
}

static int slice_open(struct groups *groups, struct text *words)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	uint64_t deadline = watch_now_ns() + SLICE_WAIT_NS;
	struct stat st;
	int r;

	r = call_slice(groups, "StartUnit", &reply, words);
	if (r < 0)
		return r;
	while ((r = slice_find(groups, words)) == -ENOENT && watch_now_ns() < deadline)
		usleep(SLICE_LOOK_US);
	if (r < 0) {
		if (!words->length)
			text_addf(words, "systemd hasn't started %s: %s", groups->slice, strerror(-r));
		return r;
	}
	if (fstat(groups->slice_fd, &st) < 0)
		return -errno;
	groups->slice_id = st.st_ino;
	for (const char *p = groups->slice_path; *p; p++)
		groups->slice_level += *p == '/';
	return 0;
}

static int systemd_open(struct groups *groups, char *buffer, size_t size)
{
	struct text words = {.bytes = buffer, .size = size};
	char why[256];
	int r;

	if (!layout_is_systemds(&groups->layout, why, sizeof(why))) {
		text_add(&words, why);
		return -EOPNOTSUPP;
	}
	groups->systemd = calloc(1, sizeof(*groups->systemd));
	if (!groups->systemd)
		return -ENOMEM;
	groups->systemd->bus_fd = groups->systemd->timer_fd = -EBADF;
	groups->systemd->placing_fd = groups->systemd->scopes_fd = -EBADF;
	r = systemd_bus_open(groups);
	if (r < 0) {
		text_addf(&words, "can't reach systemd over D-Bus: %s", strerror(-r));
		return r;
	}
	r = slice_open(groups, &words);
	if (r < 0)
		return r;
	systemd_arm(groups);
	return 0;
}

/* The slice stays, as agents do: stopping it would end them. */
static void systemd_close(struct groups *groups)
{
	if (!groups->systemd)
		return;
	requests_free(groups);
	systemd_bus_close(groups);
	close_p(&groups->systemd->placing_fd);
	close_p(&groups->systemd->scopes_fd);
	free(groups->systemd);
	groups->systemd = NULL;
}

static int systemd_forget(struct groups *groups, const struct action *action)
{
	char unit[GROUP_NAME_MAX];

	if (unit_name_of(action->agent, unit) >= 0)
		scopes_end(groups, unit);
	return group_forget(groups, action);
}

/* A scope that is empty has gone, or is about to: the core is told, and has another made. */
static int systemd_move(struct groups *groups, const struct action *action)
{
	struct group *group = group_find(groups, action->agent);
	struct event event = {.kind = EVENT_RESULT};
	int r;

	if (action->agent->placement == POLICY_PLACEMENT_NESTED || (group && !unit_is_scope(group->name)))
		return native_move(groups, action);
	if (group && tree_read_flag(group->v2_fd, "cgroup.events", "populated") == 1) {
		r = native_move(groups, action);
		if (r != -ENOENT && r != -ENODEV)
			return r;
	}
	if (!process_lives(action->process.pid, action->process.start_ticks))
		return -ESRCH;
	if (group)
		group_drop(groups, group);
	event.result.action = ACTION_MOVE;
	event.result.agent = action->agent->handle;
	event.result.error = ENOENT;
	event.result.pid = action->process.pid;
	event.result.start_ticks = action->process.start_ticks;
	groups_tell_event(groups, &event);
	return -ESRCH;
}

static int (*const handlers[ACTION_KINDS])(struct groups *, const struct action *) = {
	[ACTION_PLACE] = systemd_place,	    [ACTION_MOVE] = systemd_move,
	[ACTION_EVICT] = systemd_evict,	    [ACTION_LIMIT] = systemd_limit,
	[ACTION_RELEASE] = systemd_release, [ACTION_FREEZE] = group_freeze,
	[ACTION_THAW] = group_thaw,	    [ACTION_SIGNAL] = group_signal,
	[ACTION_KILL] = group_kill,	    [ACTION_SIGNAL_ALL] = group_signal_all,
	[ACTION_REMOVE] = systemd_remove,   [ACTION_FORGET] = systemd_forget,
	[ACTION_TOOL_PLACE] = tool_place,   [ACTION_TOOL_SIGNAL] = tool_signal,
	[ACTION_TOOL_KILL] = tool_end,	    [ACTION_TOOL_REMOVE] = tool_remove,
	[ACTION_RECLAIM] = group_reclaim,   [ACTION_SAVE] = group_save_again,
};

static int systemd_act(struct groups *groups, const struct action *action)
{
	if ((unsigned)action->kind >= ACTION_KINDS || !handlers[action->kind])
		return -EOPNOTSUPP;
	return handlers[action->kind](groups, action);
}

static int systemd_sweep_dir(struct groups *groups, const char *name, _unused_ int dir_fd)
{
	systemd_sweep(groups, name);
	return 0;
}

const struct group_ops systemd_ops = {
	.name = "systemd",
	.open = systemd_open,
	.act = systemd_act,
	.dispatch = systemd_dispatch,
	.close = systemd_close,
	.remember = scopes_open,
	.settle = scopes_restore,
	.sweep = systemd_sweep_dir,
	.remove_dirs = systemd_remove_dirs,
	.evict = systemd_evict_pid,
};
