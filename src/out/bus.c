/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "out/bus.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/wait.h>

#include "out/bus_internal.h"

static void reap(struct bus_clients *clients)
{
	struct bus_client *client = TAILQ_FIRST(clients), *next;

	for (; client; client = next) {
		next = TAILQ_NEXT(client, entry);
		if (client->is_dead)
			bus_client_free(client);
	}
}

/* Frees the clients that were cut off, now that none of their callbacks is on the stack. */
static int on_reap(sd_event_source *source _unused_, void *userdata)
{
	struct bus *bus = userdata;

	reap(&bus->clients);
	reap(&bus->system.senders);
	return 0;
}

static int bus_sources(struct bus *bus)
{
	int r = sd_event_add_defer(bus->event, &bus->reaper, on_reap, bus);

	if (r >= 0)
		r = sd_event_source_set_enabled(bus->reaper, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(bus->event, &bus->timer, CLOCK_MONOTONIC, 0, 0, bus_request_on_time, bus);
	return r < 0 ? r : sd_event_source_set_enabled(bus->timer, SD_EVENT_OFF);
}

/* By a child: the modules of nsswitch.conf(5) that may be loaded for it, such as libnss_systemd with libm, would stay
 * (600 KiB). (gid_t)-1: there is none. */
static gid_t find_group(const char *name)
{
	gid_t gid = (gid_t)-1;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return gid;
	pid = fork();
	if (pid == 0) {
		const struct group *group = getgrnam(name);

		if (group)
			(void)!write(fds[1], &group->gr_gid, sizeof(group->gr_gid));
		_exit(0);
	}
	close(fds[1]);
	if (pid > 0 && read(fds[0], &gid, sizeof(gid)) != (ssize_t)sizeof(gid))
		gid = (gid_t)-1;
	close(fds[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return gid;
}

int bus_new(sd_event *event, const char *runtime_dir, struct journal *journal, const struct bus_calls *calls,
	    struct bus **ret_bus)
{
	_cleanup_(bus_freep) struct bus *bus = calloc(1, sizeof(*bus));
	int r;

	if (!bus)
		return -ENOMEM;
	bus->event = sd_event_ref(event);
	bus->journal = journal;
	bus->calls = *calls;
	bus->dir_fd = bus->fd = bus->reserve_fd = -EBADF;
	TAILQ_INIT(&bus->clients);
	TAILQ_INIT(&bus->system.senders);
	TAILQ_INIT(&bus->requests);
	bus->group = find_group(GOV_BUS_GROUP);
	r = bus_sources(bus);
	if (r >= 0)
		r = bus_listen_open(bus, runtime_dir);
	if (r < 0)
		return r;
	*ret_bus = TAKE_PTR(bus);
	return 0;
}

struct bus *bus_free(struct bus *bus)
{
	struct bus_client *client;

	if (!bus)
		return NULL;
	bus_listen_close(bus);
	bus_system_close(bus);
	while ((client = TAILQ_FIRST(&bus->clients)))
		bus_client_free(client);
	sd_event_source_disable_unref(bus->reaper);
	sd_event_source_disable_unref(bus->timer);
	idmap_done(&bus->requests_by_id);
	sd_event_unref(bus->event);
	free(bus);
	return NULL;
}

void bus_set_group(struct bus *bus, gid_t group)
{
	bus->group = group;
}

static int client_publish(struct bus_client *client, const struct journal_line *line)
{
	sd_bus_message *m = NULL;
	uint64_t queued = 0;
	int r;

	r = sd_bus_message_new_signal(client->connection, &m, GOV_BUS_PATH, GOV_BUS_MANAGER, "Event");
	if (r >= 0)
		r = bus_add_journal_line(m, line);
	if (r >= 0)
		r = sd_bus_send_to(client->connection, m, client->sender.name, NULL);
	sd_bus_message_unref(m);
	if (r >= 0)
		r = sd_bus_get_n_queued_write(client->connection, &queued);
	if (r >= 0 && queued > BUS_QUEUE_MAX)
		r = -ENOBUFS;
	return r;
}

void bus_publish(struct bus *bus, const struct journal_line *line)
{
	struct bus_client *client;

	for (client = TAILQ_FIRST(&bus->system.senders); client; client = TAILQ_NEXT(client, entry))
		if (client->is_subscribed && !client->is_dead && client_publish(client, line) < 0)
			bus_system_drop(bus);
	for (client = TAILQ_FIRST(&bus->clients); client; client = TAILQ_NEXT(client, entry)) {
		int r = client->is_subscribed && !client->is_dead ? client_publish(client, line) : 0;

		/* sd-bus has a limit of its own, -ENOBUFS. */
		bus->counts.dropped_slow += r == -ENOBUFS;
		if (r < 0)
			bus_client_end(client);
	}
}

size_t bus_client_count(const struct bus *bus)
{
	const struct bus_client *client;
	size_t n = 0;

	for (client = TAILQ_FIRST(&bus->clients); client; client = TAILQ_NEXT(client, entry))
		n += !client->is_dead;
	return n;
}

void bus_get_counts(const struct bus *bus, struct bus_counts *ret_counts)
{
	*ret_counts = bus->counts;
}
