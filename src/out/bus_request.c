/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls whose answer comes later, from bus_reply(), or never. */
#include <time.h>

#include "out/bus_internal.h"

static const struct {
	const char *name, *words;
} errors[] = {
	[REPLY_NO_SUCH_PROCESS] = {GOV_ERROR_NO_SUCH_PROCESS, "There is no such process, or it has ended meanwhile."},
	[REPLY_NO_SUCH_AGENT] = {GOV_ERROR_NO_SUCH_AGENT,
				 "There is no such agent, or it has ended meanwhile; `govctl list` shows them all."},
	[REPLY_NO_SUCH_POLICY] = {GOV_ERROR_NO_SUCH_POLICY,
				  "There is no policy of this name in force; `govctl policy list` shows them all."},
	[REPLY_NO_MATCH] = {GOV_ERROR_NO_MATCH,
			    "No policy is for this process; name one with --policy, or see `govctl explain PID`."},
	[REPLY_PROTECTED] =
		{GOV_ERROR_PROTECTED,
		 "The process is protected: govd never touches PID 1, kernel threads, itself, its ancestors, "
		 "and what `protect` lists."},
	[REPLY_DENIED] =
		{GOV_ERROR_DENIED,
		 "This user may not do that under this policy; list the user or a group in the policy's `allow`, "
		 "or ask root."},
	[REPLY_ALREADY] = {GOV_ERROR_INVALID,
			   "The process is governed already; `govctl release` its agent first to govern it otherwise."},
	[REPLY_OBSERVED] =
		{GOV_ERROR_INVALID,
		 "The agent's policy only observes; set `mode: enforce` in it and reload to act on its agents."},
	[REPLY_BUSY] =
		{GOV_ERROR_BUSY,
		 "Another command for this agent is under way, or the agent is stopping; try again in a moment."},
	[REPLY_FULL] = {GOV_ERROR_BUSY, "There are too many agents; stop or release some first."},
	[REPLY_FAILED] = {GOV_ERROR_FAILED, "It failed"},
};

static uint64_t now_us(void)
{
	struct timespec t = {};

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The oldest request's time is the next. */
static void requests_arm(struct bus *bus)
{
	const struct bus_request *oldest = TAILQ_FIRST(&bus->requests);

	if (oldest)
		sd_event_source_set_time(bus->timer, oldest->deadline_us);
	sd_event_source_set_enabled(bus->timer, oldest ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

int bus_request_new(struct bus_client *client, sd_bus_message *call, struct bus_request **ret_request)
{
	struct bus *bus = client->bus;
	struct bus_request *request = calloc(1, sizeof(*request));
	int r;

	if (!request)
		return -ENOMEM;
	request->id = ++bus->next_request;
	r = idmap_put(&bus->requests_by_id, request->id, request);
	if (r < 0) {
		free(request);
		return r;
	}
	request->deadline_us = now_us() + BUS_ANSWER_MS * UINT64_C(1000);
	request->client = client;
	request->call = sd_bus_message_ref(call);
	client->n_requests++;
	TAILQ_INSERT_TAIL(&bus->requests, request, by_age);
	requests_arm(bus);
	*ret_request = request;
	return 0;
}

void bus_request_free(struct bus *bus, struct bus_request *request)
{
	(void)idmap_remove(&bus->requests_by_id, request->id);
	TAILQ_REMOVE(&bus->requests, request, by_age);
	request->client->n_requests--;
	sd_bus_message_unref(request->call);
	free(request);
	requests_arm(bus);
}

void bus_request_cancel(struct bus *bus, uint64_t id)
{
	struct bus_request *request = idmap_get(&bus->requests_by_id, id);

	if (request)
		bus_request_free(bus, request);
}

void bus_request_forget(struct bus_client *client)
{
	struct bus_request *request = TAILQ_FIRST(&client->bus->requests), *next;

	for (; request && client->n_requests; request = next) {
		next = TAILQ_NEXT(request, by_age);
		if (request->client == client)
			bus_request_free(client->bus, request);
	}
}

static int reply_error(sd_bus_message *call, enum reply_code code, int error)
{
	if ((size_t)code >= ELEMENTSOF(errors) || !errors[code].name)
		code = REPLY_FAILED;
	if (code == REPLY_FAILED)
		return sd_bus_reply_method_errorf(call, GOV_ERROR_FAILED, "%s: %s; `govctl incidents` may tell more.",
						  errors[code].words, error ? strerror(error) : "no reason is known");
	return sd_bus_reply_method_errorf(call, errors[code].name, "%s", errors[code].words);
}

void bus_reply(struct bus *bus, uint64_t request, const struct action *reply)
{
	struct bus_request *waiting = idmap_get(&bus->requests_by_id, request);
	struct bus_client *client;
	int r;

	if (!waiting)
		return;
	client = waiting->client;
	if (reply->reply.code == REPLY_DENIED && !waiting->is_granted && bus_method_appeal(client, waiting->call))
		r = 0;
	else if (reply->reply.code != REPLY_OK)
		r = reply_error(waiting->call, reply->reply.code, reply->reply.error);
	else if (waiting->is_run)
		r = sd_bus_reply_method_return(waiting->call, "sb", reply->reply.id, (int)reply->reply.reused);
	else
		r = sd_bus_reply_method_return(waiting->call, "s", reply->reply.id);
	bus_request_free(bus, waiting);
	if (r < 0)
		bus_client_end(client);
}

int bus_request_on_time(sd_event_source *source _unused_, uint64_t time_us _unused_, void *userdata)
{
	struct bus *bus = userdata;
	struct bus_request *request;
	uint64_t now = now_us();

	while ((request = TAILQ_FIRST(&bus->requests)) && request->deadline_us <= now) {
		sd_bus_reply_method_errorf(
			request->call, GOV_ERROR_FAILED,
			"There was no answer within %d s; `govctl status` and `govctl list` show what "
			"became of it.",
			BUS_ANSWER_MS / 1000);
		bus_request_free(bus, request);
	}
	requests_arm(bus);
	return 0;
}
