/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/systemd.h"

/* What systemd has been asked for and hasn't done yet. */

#define REQUEST_DEADLINE_NS                                                                                            \
	(60 * NSEC_PER_SEC) /* of a reexec or a restart of dbus on a busy host, with plenty to spare */

struct request *request_new(struct groups *groups, const struct request_kind *kind, uint64_t agent)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->kind = kind;
	request->groups = groups;
	request->agent = agent;
	request->pid_fd = -EBADF;
	request_extend(request);
	return request;
}

void request_extend(struct request *request)
{
	request->deadline_ns = watch_now_ns() + REQUEST_DEADLINE_NS;
}

void request_begin(struct groups *groups, struct request *request)
{
	struct request **tail = &groups->systemd->requests;

	/* In order: systemd does its jobs in the order in which they come, too. */
	while (*tail)
		tail = &(*tail)->next;
	*tail = request;
	request_again(request, 0);
	request->kind->run(groups, request);
	systemd_arm(groups);
}

void request_again(struct request *request, uint64_t after_ns)
{
	request->run_ns = watch_now_ns() + after_ns;
}

void request_end(struct request *request)
{
	request->slot = sd_bus_slot_unref(request->slot);
	request->is_done = true;
}

void request_free(struct request *request)
{
	if (!request)
		return;
	sd_bus_slot_unref(request->slot);
	close_p(&request->pid_fd);
	free(request->state);
	policy_unref(request->policy);
	free(request);
}

/* Only in the dispatch, where nobody else holds one. */
static void requests_sweep(struct groups *groups)
{
	struct request **at = &groups->systemd->requests;

	while (*at) {
		struct request *request = *at;

		if (!request->is_done) {
			at = &request->next;
			continue;
		}
		*at = request->next;
		request_free(request);
	}
}

void requests_run(struct groups *groups)
{
	uint64_t now = watch_now_ns();

	/* Those that are begun meanwhile come at the end, and have run already. */
	for (struct request *request = groups->systemd->requests; request; request = request->next) {
		if (request->is_done || request->run_ns > now)
			continue;
		if (request->deadline_ns <= now)
			request->kind->expire(groups, request);
		else
			request->kind->run(groups, request);
	}
	requests_sweep(groups);
}

void requests_restart(struct groups *groups)
{
	for (struct request *request = groups->systemd->requests; request; request = request->next) {
		request->slot = sd_bus_slot_unref(request->slot);
		request_again(request, 0);
	}
}

void requests_free(struct groups *groups)
{
	for (struct request *request = groups->systemd->requests; request; request = request->next) {
		const struct group *group = idmap_get(&groups->by_agent, request->agent);

		if (group && request->is_frozen && !request->is_done)
			(void)!group_freeze_briefly(group, false);
		request->is_done = true;
	}
	requests_sweep(groups);
}

struct request *request_find(struct groups *groups, const struct request_kind *kind, uint64_t agent)
{
	for (struct request *request = groups->systemd->requests; request; request = request->next)
		if (!request->is_done && request->kind == kind && request->agent == agent)
			return request;
	return NULL;
}
