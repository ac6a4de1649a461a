/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection. What the client sends goes through our hands before sd-bus gets it (bus_frame.h), by a socket pair;
 * what sd-bus answers goes to the client's socket directly. So the limits hold whatever the client sends: the size of a
 * message, the number that waits to be dispatched, the time to complete one. Descriptors that it sends are closed by
 * the kernel, because we read without room for them.
 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "out/bus_internal.h"

/* sd-bus reads at least 256 bytes a turn while authenticating. */
#define AUTH_TURNS_MAX (BUS_FRAME_AUTH_MAX / 256 + 16)

#define SEND_BYTES (128 << 10) /* of the client's socket; the kernel doubles it */

enum wait {
	WAIT_INPUT,   /* for the client to send */
	WAIT_FEED,    /* for sd-bus to take what is allowed */
	WAIT_HANDLED, /* for sd-bus to dispatch what it has */
	WAIT_OUTPUT,  /* for the client to read what it asked for */
};

static void client_wait(struct bus_client *client, enum wait wait)
{
	bool is_idle = wait == WAIT_INPUT && client->is_ready && client->frame.length == 0 &&
		       bus_frame_at_boundary(&client->frame);
	int on = 0;

	sd_event_source_set_io_events(client->fd_source, wait == WAIT_OUTPUT ? EPOLLOUT : EPOLLIN);
	sd_event_source_set_enabled(client->fd_source,
				    wait == WAIT_INPUT || wait == WAIT_OUTPUT ? SD_EVENT_ON : SD_EVENT_OFF);
	if (client->feed_source)
		sd_event_source_set_enabled(client->feed_source, wait == WAIT_FEED ? SD_EVENT_ON : SD_EVENT_OFF);
	if (is_idle) {
		sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
	} else if (sd_event_source_get_enabled(client->timer, &on) >= 0 &&
		   (on == SD_EVENT_OFF || client->progress != client->handed + client->handled)) {
		client->progress = client->handed + client->handled;
		sd_event_source_set_time_relative(client->timer, BUS_PATIENCE_MS * UINT64_C(1000));
		sd_event_source_set_enabled(client->timer, SD_EVENT_ONESHOT);
	}
}

void bus_client_end(struct bus_client *client)
{
	if (client->is_dead)
		return;
	client->is_dead = true;
	client->is_subscribed = false;
	if (!client->sender.name) {
		sd_event_source_set_enabled(client->fd_source, SD_EVENT_OFF);
		sd_event_source_set_enabled(client->feed_source, SD_EVENT_OFF);
		sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
	}
	bus_request_forget(client);
	sd_event_source_set_enabled(client->bus->reaper, SD_EVENT_ONESHOT);
}

/* sd-bus still dispatches what it has, then notices the end of the feed and says that it is disconnected. */
static void client_input_ended(struct bus_client *client)
{
	sd_event_source_set_enabled(client->fd_source, SD_EVENT_OFF);
	client->feed_source = sd_event_source_disable_unref(client->feed_source);
	if (client->feed_fd >= 0)
		close(client->feed_fd);
	client->feed_fd = -EBADF;
	sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
}

/* Nothing goes on before sd-bus agrees that the authentication is over: our view of the stream and its must be one. */
static bool client_authenticated(struct bus_client *client)
{
	for (unsigned i = 0; i < AUTH_TURNS_MAX; i++) {
		if (sd_bus_is_ready(client->connection) > 0)
			return true;
		if (sd_bus_process(client->connection, NULL) < 0)
			break;
	}
	return false;
}

/* Whether another message may be given to sd-bus; else what to wait for. */
static bool client_may_begin(struct bus_client *client, enum wait *ret_wait)
{
	uint64_t waiting = client->handed - client->handled, queued = 0;

	/* An answer may be large: so many are the most that this client can make us keep. */
	if (sd_bus_get_n_queued_write(client->connection, &queued) < 0 || waiting + queued < BUS_CALLS_MAX)
		return true;
	*ret_wait = waiting ? WAIT_HANDLED : WAIT_OUTPUT;
	return false;
}

/* Hands on what is allowed: 1 all of it, 0 sd-bus's side is full, -errno. */
static int client_feed(struct bus_client *client)
{
	struct bus_frame *frame = &client->frame;

	while (frame->allowed) {
		ssize_t n = send(client->feed_fd, frame->bytes, frame->allowed, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return -errno;
		bus_frame_gone(frame, (size_t)n);
	}
	return 1;
}

/* One look at the buffer: 1 go on, 0 wait as *ret_wait says, -errno. */
static int client_step(struct bus_client *client, enum wait *ret_wait)
{
	int step, r;

	if (bus_frame_at_boundary(&client->frame) && client->frame.length && !client_may_begin(client, ret_wait))
		return 0;
	step = bus_frame_next(&client->frame, BUS_MESSAGE_MAX);
	if (step < 0)
		client->bus->counts.dropped_large++;
	if (step <= BUS_FRAME_NEED) {
		*ret_wait = WAIT_INPUT;
		return step;
	}
	client->handed += step == BUS_FRAME_MESSAGE;
	r = client_feed(client);
	*ret_wait = WAIT_FEED;
	if (step != BUS_FRAME_BEGIN)
		return r;
	client->is_ready = r > 0 && client_authenticated(client);
	return client->is_ready ? 1 : -EACCES;
}

/* 1 something was read, 0 nothing is there, -errno; -ECONNRESET: the end. */
static int client_read(struct bus_client *client)
{
	struct bus_frame *frame = &client->frame;
	ssize_t n = recv(client->fd, frame->bytes + frame->length, sizeof(frame->bytes) - frame->length, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	frame->length += (size_t)n;
	return 1;
}

/* Moves bytes until there is something to wait for. Bounded, so that one client doesn't take all the time. */
static void client_pump(struct bus_client *client)
{
	enum wait wait = WAIT_INPUT;
	unsigned reads = 0;
	int r = 1;

	while (r > 0 && !client->is_dead && client->feed_fd >= 0) {
		r = client->frame.allowed ? client_feed(client) : client_step(client, &wait);
		if (client->frame.allowed)
			wait = WAIT_FEED;
		else if (r == 0 && wait == WAIT_INPUT && reads++ < 16)
			r = client_read(client);
	}
	if (client->is_dead || client->feed_fd < 0)
		return;
	if (r == -ECONNRESET)
		client_input_ended(client);
	else if (r < 0)
		bus_client_end(client);
	else
		client_wait(client, wait);
}

static int on_client_io(sd_event_source *source _unused_, int fd _unused_, uint32_t events, void *userdata)
{
	struct bus_client *client = userdata;

	/* It hung up while its answers wait: nobody will read them. */
	if ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN))
		bus_client_end(client);
	else
		client_pump(client);
	return 0;
}

static int on_client_late(sd_event_source *source _unused_, uint64_t now_us _unused_, void *userdata)
{
	struct bus_client *client = userdata;

	client->bus->counts.dropped_slow++;
	bus_client_end(client);
	return 0;
}

void bus_client_handled(struct bus_client *client)
{
	client->handled++;
	if (!client->is_dead && client->feed_fd >= 0)
		client_pump(client);
}

/* Every message passes here before its handler. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_)
{
	struct bus_client *client = userdata;

	if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.Local", "Disconnected") > 0)
		bus_client_end(client);
	else
		bus_client_handled(client);
	return client->is_dead ? 1 : 0;
}

/* sd-bus reads from input and writes to output, and closes both. Who it is has been asked of the kernel before: sd-bus,
 * which sees the pair instead of the client's socket, is told not to. */
static int client_connect(struct bus_client *client, int *input, int *output)
{
	sd_id128_t id;
	int r;

	r = sd_bus_new(&client->connection);
	if (r < 0)
		return r;
	r = sd_bus_set_fd(client->connection, *input, *output);
	if (r < 0)
		return r;
	*input = *output = -EBADF;
	r = sd_id128_randomize(&id);
	if (r >= 0)
		r = sd_bus_set_server(client->connection, 1, id);
	if (r >= 0)
		r = sd_bus_set_anonymous(client->connection, 1);
	if (r >= 0)
		r = sd_bus_set_trusted(client->connection, 1);
	if (r >= 0)
		r = sd_bus_negotiate_fds(client->connection, 0);
	if (r >= 0)
		r = sd_bus_add_filter(client->connection, NULL, on_message, client);
	if (r >= 0)
		r = bus_method_attach(client);
	if (r >= 0)
		r = sd_bus_start(client->connection);
	return r < 0 ? r : sd_bus_attach_event(client->connection, client->bus->event, SD_EVENT_PRIORITY_NORMAL);
}

static int client_watch(struct bus_client *client)
{
	sd_event *event = client->bus->event;
	int r;

	r = sd_event_add_io(event, &client->fd_source, client->fd, EPOLLIN, on_client_io, client);
	if (r >= 0)
		r = sd_event_add_io(event, &client->feed_source, client->feed_fd, EPOLLOUT, on_client_io, client);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &client->timer, CLOCK_MONOTONIC, BUS_PATIENCE_MS * UINT64_C(1000),
					       0, on_client_late, client);
	return r < 0 ? r : sd_event_source_set_enabled(client->feed_source, SD_EVENT_OFF);
}

int bus_client_new(struct bus *bus, int fd, const struct bus_peer *peer, gid_t *groups)
{
	_cleanup_close_ int output = fd, input = -EBADF;
	struct bus_client *client = calloc(1, sizeof(*client));
	int pair[2] = {-EBADF, -EBADF}, bytes = SEND_BYTES, r = 0;

	if (!client) {
		free(groups);
		return -ENOMEM;
	}
	client->bus = bus;
	client->peer = *peer;
	client->groups = groups;
	client->feed_fd = -EBADF;
	client->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	client->list = &bus->clients;
	TAILQ_INSERT_TAIL(client->list, client, entry);
	if (client->fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		r = -errno;
	if (r == 0) {
		client->feed_fd = pair[0];
		input = pair[1];
		r = client_connect(client, &input, &output);
	}
	/* sd-bus has made it 8 MiB. */
	if (r >= 0 && setsockopt(client->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) < 0)
		r = -errno;
	if (r >= 0)
		r = client_watch(client);
	if (r < 0)
		bus_client_free(client);
	return r < 0 ? r : 0;
}

void bus_client_free(struct bus_client *client)
{
	bus_request_forget(client);
	TAILQ_REMOVE(client->list, client, entry);
	sd_event_source_disable_unref(client->fd_source);
	sd_event_source_disable_unref(client->feed_source);
	sd_event_source_disable_unref(client->timer);
	/* No flush: it would wait for the client. */
	if (!client->sender.name)
		sd_bus_close(client->connection);
	bus_sender_done(client);
	sd_bus_unref(client->connection);
	if (client->fd >= 0)
		close(client->fd);
	if (client->feed_fd >= 0)
		close(client->feed_fd);
	free(client->groups);
	free(client);
}
