/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * govd-recorder STATE_DIR: writes govd's incidents to STATE_DIR/incidents.db. It takes them from the socket at
 * descriptor 3 and may be as slow as the disk is; govd never waits for it. It ends when the socket ends, after it has
 * written what it has, and by nothing else: SIGTERM of a service manager reaches govd too, which has more to say.
 */
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "recorder/backlog.h"
#include "recorder/store.h"

#define BATCH_ROWS 256
#define BATCH_MS 200	 /* a row waits at most this long for others */
#define RETRY_MS 2000	 /* after a failure */
#define PRUNE_MS 60000	 /* also when nothing happens */
#define STATS_MS 100	 /* between two reports without news of failures */
#define PACKETS_MAX 1024 /* read in one turn, before the disk gets one */

struct recorder {
	struct store store;
	struct backlog backlog;
	uint64_t written, failed;
	int error; /* of the last attempt */
	bool is_ended;
	int64_t write_at_ms; /* CLOCK_MONOTONIC; the next attempt */
	bool is_told;	     /* govd knows the figures above */
	int64_t tell_at_ms;
};

static int64_t clock_ms(clockid_t clock)
{
	struct timespec t = {};

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Never waits: if govd doesn't read, the figures go with the next report, which holds them all. */
static void recorder_tell(struct recorder *recorder)
{
	struct gov_incident_message message = {
		.kind = GOV_INCIDENT_STATS,
		.version = GOV_INCIDENT_VERSION,
		.written = recorder->written,
		.failed = recorder->failed,
		.error = recorder->error,
	};
	size_t length = recorder->error ? strlen(recorder->store.words) : 0;

	memcpy(message.text, recorder->store.words, length);
	message.size = (uint32_t)(GOV_INCIDENT_HEAD_SIZE + length + 1);
	if (send(GOV_RECORDER_FD, &message, message.size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		recorder->is_told = true;
	recorder->tell_at_ms = clock_ms(CLOCK_MONOTONIC) + STATS_MS;
}

static void recorder_lose(struct recorder *recorder, size_t n)
{
	recorder->failed += n;
	if (n)
		recorder->is_told = false;
}

static void recorder_write(struct recorder *recorder)
{
	size_t n = MIN2(recorder->backlog.n, (size_t)BATCH_ROWS);
	int error = store_write(&recorder->store, recorder->backlog.rows, n, clock_ms(CLOCK_REALTIME));
	int64_t now_ms = clock_ms(CLOCK_MONOTONIC);

	if (n || error != recorder->error)
		recorder->is_told = false;
	recorder->error = error;
	if (error) {
		recorder->write_at_ms = now_ms + RETRY_MS;
		recorder_tell(recorder);
		return;
	}
	recorder->written += n;
	backlog_drop(&recorder->backlog, n);
	recorder->write_at_ms = now_ms + (recorder->backlog.n ? 0 : PRUNE_MS);
}

/* The first row of a batch sets the time, a full batch hastens it; after a failure neither does. */
static void recorder_take(struct recorder *recorder, struct row *row)
{
	int64_t now_ms = clock_ms(CLOCK_MONOTONIC);

	recorder_lose(recorder, backlog_add(&recorder->backlog, row));
	if (recorder->error)
		return;
	if (recorder->backlog.n >= BATCH_ROWS)
		recorder->write_at_ms = now_ms;
	else if (recorder->backlog.n == 1)
		recorder->write_at_ms = MIN2(recorder->write_at_ms, now_ms + BATCH_MS);
}

static void recorder_packet(struct recorder *recorder, const void *packet, size_t size)
{
	struct message message;

	if (message_decode(packet, size, &message) < 0) {
		recorder_lose(recorder, 1);
		return;
	}
	if (message.kind == GOV_INCIDENT_ADD) {
		recorder_take(recorder, message.row);
		return;
	}
	recorder->store.keep_s = message.keep_s;
	recorder->store.keep_max = message.keep_max;
	if (!recorder->error)
		recorder->write_at_ms = clock_ms(CLOCK_MONOTONIC);
}

static void recorder_read(struct recorder *recorder)
{
	struct gov_incident_message packet;

	for (unsigned i = 0; i < PACKETS_MAX; i++) {
		ssize_t n = recv(GOV_RECORDER_FD, &packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			recorder->is_ended = true;
			return;
		}
		recorder_packet(recorder, &packet, (size_t)n);
		/* While the disk works, read no more than fits in a batch: what waits in the socket isn't lost. */
		if (!recorder->error && recorder->backlog.n >= BATCH_ROWS)
			return;
	}
}

static void recorder_run(struct recorder *recorder)
{
	struct pollfd fd = {.fd = GOV_RECORDER_FD, .events = POLLIN};

	while (!recorder->is_ended) {
		int64_t now_ms = clock_ms(CLOCK_MONOTONIC), next_ms = recorder->write_at_ms;

		if (!recorder->is_told)
			next_ms = MIN2(next_ms, recorder->tell_at_ms);
		if (poll(&fd, 1, (int)MAX2(next_ms - now_ms, (int64_t)0)) > 0)
			recorder_read(recorder);
		now_ms = clock_ms(CLOCK_MONOTONIC);
		if (now_ms >= recorder->write_at_ms)
			recorder_write(recorder);
		if (!recorder->is_told && now_ms >= recorder->tell_at_ms)
			recorder_tell(recorder);
	}
	do
		recorder_write(recorder);
	while (recorder->backlog.n && !recorder->error);
	if (recorder->backlog.n)
		log_err("%zu incidents are lost: %s", recorder->backlog.n, recorder->store.words);
}

int main(int argc, char **argv)
{
	static struct recorder recorder;
	struct stat st;

	if (argc != 2 || fstat(GOV_RECORDER_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		fputs("govd starts govd-recorder: govd-recorder STATE_DIR, with a socket at descriptor 3\n", stderr);
		return 2;
	}
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	umask(0027);
	recorder.store.dir = argv[1];
	/* At once: the first attempt finds out what is wrong with the database before there is anything to write. */
	recorder.write_at_ms = clock_ms(CLOCK_MONOTONIC);
	recorder_run(&recorder);
	store_close(&recorder.store);
	backlog_drop(&recorder.backlog, recorder.backlog.n);
	return recorder.error ? 1 : 0;
}
