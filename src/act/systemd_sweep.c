/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/systemd.h"
#include "base/text.h"

/*
 * Scopes that nobody is in: of a process that had ended when systemd came to it. As systemd is told of a group's
 * changes only, it would wait for ever for the end of one that never held a process.
 */

static bool is_empty(struct groups *groups, const char *unit)
{
	_cleanup_close_ int fd = unit_open(groups, unit);

	return fd >= 0 && tree_read_flag(fd, "cgroup.events", "populated") == 0;
}

static void stop_run(struct groups *groups, struct request *request)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	int r;

	if (!is_empty(groups, request->unit)) {
		request_end(request);
		return;
	}
	r = systemd_message(groups, "StopUnit", &message);
	if (r >= 0)
		r = sd_bus_message_append(message, "ss", request->unit, "replace");
	systemd_call(groups, request, message, r);
}

static void stop_answer(struct groups *groups, struct request *request, int error)
{
	if (error < 0 && error != -ENOENT)
		groups->counts.failed++;
	request_end(request);
}

static void stop_expire(struct groups *groups, struct request *request)
{
	stop_answer(groups, request, -ETIMEDOUT);
}

static const struct request_kind request_stop = {.run = stop_run, .answer = stop_answer, .expire = stop_expire};

void systemd_sweep(struct groups *groups, const char *unit)
{
	struct request *request;

	if (!unit_is_scope(unit) || !is_empty(groups, unit))
		return;
	request = request_new(groups, &request_stop, 0);
	if (!request) {
		groups->counts.failed++;
		return;
	}
	text_copy(request->unit, sizeof(request->unit), unit);
	request_begin(groups, request);
}
