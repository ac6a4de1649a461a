/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>

#include "base/file.h"
#include "hold/hold.h"

#define EXEC_OPEN_NS NSEC_PER_SEC /* the second open follows in microseconds, unless the CPU is taken away */
#define READS_MAX 8		  /* of a turn */
#define EVENTS_MAX 64		  /* of a read */
#define FILES_RESERVE (EVENTS_MAX + 64)

/* An event that isn't answered and isn't closed would hold for ever; an error means that the process is gone. */
static void wait_respond(const struct holder *holder, int event_fd, uint32_t answer)
{
	struct fanotify_response response = {.fd = event_fd, .response = answer};

	if (write(holder->fan_fd, &response, sizeof(response)) < 0 && errno != ENOENT)
		_exit(EXIT_FAILURE); /* the kernel lets all go */
	close(event_fd);
}

static bool wait_is_exempt(const struct holder *holder, pid_t pid)
{
	/* 0: outside our pid namespace */
	if (pid <= 1 || pid == holder->govd_pid || pid == getpid())
		return true;
	for (size_t i = 0; i < GOV_HOLD_EXEMPT_MAX; i++)
		if (holder->exempt[i] == pid)
			return true;
	return false;
}

static bool wait_is_child_of_govd(const struct holder *holder, pid_t pid)
{
	char path[32], stat[512];
	const char *name_end;
	int ppid;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(AT_FDCWD, path, stat, sizeof(stat)) < 0)
		return false;
	/* comm may hold anything: what follows its last `)` is the kernel's. proc_pid_stat(5) */
	name_end = strrchr(stat, ')');
	return name_end && sscanf(name_end + 1, " %*c %d", &ppid) == 1 && ppid == holder->govd_pid;
}

/*
 * A helper, which is where we are, that govd starts again: govd waits in posix_spawn(3) until it has executed, so it
 * can't answer, and can't have told us this pid.
 */
static bool wait_is_helper(const struct holder *holder, pid_t pid, const char *path)
{
	size_t length = strlen(holder->home);

	return length && strncmp(path, holder->home, length) == 0 && !strchr(path + length, '/') &&
	       wait_is_child_of_govd(holder, pid);
}

/* The file that is opened, without " (deleted)" which it gets when it is replaced meanwhile. 0 or -errno. */
static int wait_path(int event_fd, char *path, size_t size)
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", event_fd);
	n = readlink(link, path, size - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	file_strip_deleted(path);
	return 0;
}

static void wait_note_exec(struct waiters *waiters, const struct exec_open *open)
{
	waiters->execs[waiters->exec_cursor++ % EXECS_MAX] = *open;
}

/* Whether this open is the second half of the execve that was noted; each note counts once. */
static bool wait_take_exec(struct waiters *waiters, const struct exec_open *open)
{
	for (size_t i = 0; i < EXECS_MAX; i++) {
		struct exec_open *noted = &waiters->execs[i];

		if (noted->pid != open->pid || noted->path_hash != open->path_hash)
			continue;
		noted->pid = 0;
		return open->time_ns - noted->time_ns < EXEC_OPEN_NS;
	}
	return false;
}

/* Whether govd is to be asked about this event; *ret_is_exec: as what. */
static bool wait_is_wanted(struct holder *holder, const struct fanotify_event_metadata *event, const char *path,
			   bool *ret_is_exec)
{
	unsigned hits = watch_list_match(&holder->plan.rules, path);
	struct exec_open open = {event->pid, watch_hash(path, strlen(path)), clock_ns()};

	if (!hits)
		return false;
	*ret_is_exec = event->mask & FAN_OPEN_EXEC_PERM;
	if (event->mask & FAN_OPEN_EXEC_PERM) {
		if (hits & WATCH_HIT_OPEN)
			wait_note_exec(&holder->waiters, &open);
		return hits & WATCH_HIT_EXEC;
	}
	return (hits & WATCH_HIT_OPEN) && !wait_take_exec(&holder->waiters, &open);
}

/* A free slot with its token, or NULL: too many wait. */
static struct waiter *wait_take_slot(struct waiters *waiters)
{
	struct waiter *waiter;

	if (waiters->n >= waiters->n_max)
		return NULL;
	do {
		waiters->serial++;
		waiter = &waiters->slots[waiters->serial % WAITERS_MAX];
	} while (waiter->token || !waiters->serial);
	return waiter;
}

static void wait_event(struct holder *holder, const struct fanotify_event_metadata *event, uint64_t deadline_ns)
{
	struct waiters *waiters = &holder->waiters;
	struct gov_hold_message *out = &holder->out;
	struct waiter *waiter;
	bool is_exec;

	/* An overflow of the queue: the kernel has let them go. */
	if (event->fd < 0)
		return;
	*out = (struct gov_hold_message){.pid = event->pid};
	if (wait_is_exempt(holder, event->pid) || wait_path(event->fd, out->path, sizeof(out->path)) < 0 ||
	    !wait_is_wanted(holder, event, out->path, &is_exec) || wait_is_helper(holder, event->pid, out->path) ||
	    !(waiter = wait_take_slot(waiters))) {
		wait_respond(holder, event->fd, FAN_ALLOW);
		return;
	}
	out->token = waiters->serial;
	out->is_exec = is_exec;
	/* A full socket: govd doesn't read. */
	if (serve_send(holder, GOV_HOLD_ASK) < 0) {
		wait_respond(holder, event->fd, FAN_ALLOW);
		return;
	}
	*waiter = (struct waiter){.token = out->token, .deadline_ns = deadline_ns, .fd = event->fd};
	waiters->n++;
}

/* Takes note of how many have to be read until all that came before now_ns are. */
static int wait_count(struct holder *holder, uint64_t now_ns)
{
	int bytes;

	if (ioctl(holder->fan_fd, FIONREAD, &bytes) < 0)
		return -errno;
	holder->waiters.n_unread = (size_t)bytes / FAN_EVENT_METADATA_LEN;
	holder->waiters.next_seen_ns = now_ns;
	return 0;
}

/* One read: how many events left the queue, 0 when it is empty. -errno */
static int wait_read_some(struct holder *holder)
{
	uint64_t deadline_ns = holder->waiters.seen_ns + GOV_HOLD_DEADLINE_MS * NSEC_PER_MSEC;
	struct fanotify_event_metadata events[EVENTS_MAX];
	const struct fanotify_event_metadata *event = events;
	ssize_t n = read(holder->fan_fd, events, sizeof(events));
	int n_events = 0;

	if (n < 0 && errno == EAGAIN)
		return 0;
	/* The kernel couldn't open a file for us and has refused that one open; go on. */
	if (n < 0 && errno != EMFILE && errno != ENFILE)
		return 1;
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	for (; FAN_EVENT_OK(event, n); event = FAN_EVENT_NEXT(event, n), n_events++) {
		if (event->vers != FANOTIFY_METADATA_VERSION)
			return -EPROTO;
		wait_event(holder, event, deadline_ns);
	}
	return n_events;
}

int wait_read(struct holder *holder, uint64_t now_ns)
{
	struct waiters *waiters = &holder->waiters;
	int r;

	if (!waiters->n_unread) {
		r = wait_count(holder, now_ns);
		if (r < 0)
			return r;
	}
	for (unsigned reads = 0; reads < READS_MAX && waiters->n_unread; reads++) {
		r = wait_read_some(holder);
		if (r < 0)
			return r;
		/* Empty before its time: some of them were killed meanwhile. */
		waiters->n_unread -= r ? MIN2((size_t)r, waiters->n_unread) : waiters->n_unread;
	}
	if (!waiters->n_unread)
		waiters->seen_ns = waiters->next_seen_ns;
	return 0;
}

void wait_init(struct waiters *waiters, uint64_t now_ns)
{
	size_t files = isolate_files_max();

	/* Tokens of a govd-hold before us must not fit. */
	waiters->serial = now_ns / NSEC_PER_USEC;
	waiters->seen_ns = now_ns;
	/* The kernel refuses an open that we have no descriptor for: rather don't hold. */
	waiters->n_max = files > FILES_RESERVE ? MIN2(files - FILES_RESERVE, (size_t)WAITERS_MAX / 2) : 0;
}

static void wait_release(struct holder *holder, struct waiter *waiter, uint32_t answer)
{
	wait_respond(holder, waiter->fd, answer);
	*waiter = (struct waiter){0};
	holder->waiters.n--;
}

void wait_answer(struct holder *holder, uint64_t token, int error)
{
	struct waiter *waiter = &holder->waiters.slots[token % WAITERS_MAX];

	if (token && waiter->token == token)
		wait_release(holder, waiter, error ? FAN_DENY : FAN_ALLOW);
}

void wait_expire(struct holder *holder, uint64_t now_ns)
{
	struct waiters *waiters = &holder->waiters;

	for (size_t i = 0; i < WAITERS_MAX && waiters->n; i++) {
		struct waiter *waiter = &waiters->slots[i];

		if (!waiter->token || waiter->deadline_ns > now_ns)
			continue;
		holder->out = (struct gov_hold_message){.token = waiter->token};
		wait_release(holder, waiter, FAN_ALLOW);
		(void)!serve_send(holder, GOV_HOLD_EXPIRED);
	}
}

uint64_t wait_oldest_deadline(const struct waiters *waiters)
{
	uint64_t oldest_ns = UINT64_MAX;

	for (size_t i = 0, seen = 0; i < WAITERS_MAX && seen < waiters->n; i++) {
		if (!waiters->slots[i].token)
			continue;
		oldest_ns = MIN2(oldest_ns, waiters->slots[i].deadline_ns);
		seen++;
	}
	return oldest_ns;
}
