/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/log.h"
#include "sense/activity.h"

/* The census of what agents do: the kernel's sums by owner become views by agent. */

#define PTS_MAJOR 136 /* Documentation/admin-guide/devices.txt: 136 to 143 are Unix98 PTY slaves, */
#define PTS_MAJORS 8  /* 256 each */
#define TTY_MAJOR 4   /* 0 to 63 are virtual consoles */
#define CONSOLES 64
#define TTY_STEP_S 8 /* tty_update_time(), drivers/tty/tty_io.c: access times move in such steps */

/* ---- terminals --------------------------------------------------------------------------------------------------- */

static bool tty_path(uint32_t device, char *path, size_t size)
{
	/* As the kernel's new_encode_dev() has it (linux/kdev_t.h). */
	unsigned number_major = device >> 8 & 0xfff, number_minor = (device & 0xff) | (device >> 12 & 0xfff00);

	if (number_major >= PTS_MAJOR && number_major < PTS_MAJOR + PTS_MAJORS)
		snprintf(path, size, "/dev/pts/%u", (number_major - PTS_MAJOR) * 256 + number_minor);
	else if (number_major == TTY_MAJOR && number_minor < CONSOLES)
		snprintf(path, size, "/dev/tty%u", number_minor);
	else
		return false;
	return true;
}

/* A terminal's access time is that of the last read from it, as w(1) knows too. */
static bool tty_was_read(struct manager_activity *activity, uint32_t device)
{
	struct activity_tty *tty = NULL;
	char path[32];
	struct stat st;

	for (size_t i = 0; i < activity->n_ttys; i++)
		if (activity->ttys[i].device == device)
			tty = &activity->ttys[i];
	if (tty && tty->is_new)
		return tty->is_read;
	if (!tty_path(device, path, sizeof(path)) || stat(path, &st) < 0)
		return false;
	if (!tty && activity->n_ttys == ACTIVITY_TTYS_MAX)
		return false;
	if (!tty) {
		tty = &activity->ttys[activity->n_ttys++];
		*tty = (struct activity_tty){.device = device, .read_s = st.st_atime};
	}
	/* While a step lasts, more input would move nothing. */
	tty->is_read = tty->read_s != st.st_atime ||
		       st.st_atime / TTY_STEP_S == (int64_t)(manager_realtime_ms() / 1000) / TTY_STEP_S;
	tty->read_s = st.st_atime;
	tty->is_new = true;
	return tty->is_read;
}

static void forget_old_ttys(struct manager_activity *activity)
{
	size_t n = 0;

	for (size_t i = 0; i < activity->n_ttys; i++)
		if (activity->ttys[i].is_new) {
			activity->ttys[n] = activity->ttys[i];
			activity->ttys[n++].is_new = false;
		}
	activity->n_ttys = n;
}

/* ---- the census -------------------------------------------------------------------------------------------------- */

static void add_wait(struct activity_view *view, const struct gov_activity *sums)
{
	struct gov_connect_key key = {.port = sums->port, .kind = GOV_CONNECT_DESTINATION};

	if (!sums->wait_ns)
		return;
	view->wait.since_ns = sums->wait_ns;
	view->wait.unread = sums->unread;
	view->wait.is_listening = sums->flags & GOV_ACTIVITY_LISTENING;
	memcpy(key.address, sums->address, sizeof(key.address));
	bpf_connect_format(view->wait.socket, sizeof(view->wait.socket), &key);
}

static struct activity_view *new_view(struct manager_activity *activity)
{
	if (activity->n == activity->size) {
		size_t size = activity->size ? activity->size * 2 : 64;
		struct activity_view *views = reallocarray(activity->views, size, sizeof(*views));

		if (!views)
			return NULL;
		activity->views = views;
		activity->size = size;
	}
	return &activity->views[activity->n++];
}

static void note_owner(uint64_t owner, const struct gov_activity *sums, void *userdata)
{
	struct manager *manager = userdata;
	uint64_t mark = owner & GOV_OWNER_MARK ? owner & ~GOV_OWNER_MARK : 0;
	const struct agent *agent = state_agent_of_process(manager->state, mark ? 0 : owner, mark);
	struct activity_view *view = agent && agent->activity ? new_view(&manager->activity) : NULL;
	struct gov_connect_stats stats;

	if (!view)
		return;
	*view = (struct activity_view){
		.agent = agent->handle,
		.cpu_ns = sums->cpu_ns,
		.io_bytes = sums->chars,
		.child_faults = sums->child_faults,
		.connects = UINT64_MAX,
		.accepts = sums->accepts,
		.net_bytes = sums->net_bytes,
		.spawns = sums->spawns,
		.has_input = sums->tty && tty_was_read(&manager->activity, sums->tty),
		.is_traced = sums->flags & GOV_ACTIVITY_TRACED,
		.is_stopped = sums->flags & GOV_ACTIVITY_STOPPED,
	};
	add_wait(view, sums);
	if (bpf_connect_stats(manager->bpf, owner, &stats) == 0)
		view->connects = stats.connects;
}

static int compare_agents(const void *a, const void *b)
{
	const struct activity_view *x = a, *y = b;

	return x->agent < y->agent ? -1 : x->agent > y->agent;
}

static void add_view(struct activity_view *sum, const struct activity_view *view)
{
	sum->cpu_ns += view->cpu_ns;
	sum->io_bytes += view->io_bytes;
	sum->child_faults += view->child_faults;
	sum->accepts += view->accepts;
	sum->net_bytes += view->net_bytes;
	sum->spawns += view->spawns;
	sum->has_input |= view->has_input;
	sum->is_traced |= view->is_traced;
	sum->is_stopped |= view->is_stopped;
	if (view->connects != UINT64_MAX)
		sum->connects = view->connects + (sum->connects == UINT64_MAX ? 0 : sum->connects);
	if (view->wait.since_ns && (!sum->wait.since_ns || view->wait.since_ns < sum->wait.since_ns))
		sum->wait = view->wait;
}

/* An agent without a group of its own, or one that isn't whole in it, has several owners: its marks. */
static void fold_views(struct manager_activity *activity)
{
	size_t n = 0;

	if (activity->n)
		qsort(activity->views, activity->n, sizeof(*activity->views), compare_agents);
	for (size_t i = 0; i < activity->n; i++)
		if (n && activity->views[n - 1].agent == activity->views[i].agent)
			add_view(&activity->views[n - 1], &activity->views[i]);
		else
			activity->views[n++] = activity->views[i];
	activity->n = n;
}

void activity_look(struct manager *manager, _unused_ const struct action *action)
{
	struct manager_activity *activity = &manager->activity;
	struct event event = {.kind = EVENT_ACTIVITY};
	int r;

	activity->n = 0;
	r = bpf_activity_census(manager->bpf, note_owner, manager);
	if (r < 0) {
		activity->n = 0;
		manager->counts.actions_failed += r != -EBADF;
		if (!activity->is_told)
			log_warning("can't see what agents do (%s): none is told to be idle or hung", strerror(-r));
		activity->is_told = true;
	}
	forget_old_ttys(activity);
	fold_views(activity);
	event.activity.items = activity->views;
	event.activity.n = activity->n;
	manager_enqueue(manager, &event);
}

void activity_done(struct manager *manager)
{
	free(manager->activity.views);
}

/* ---- show -------------------------------------------------------------------------------------------------------- */

static double per_second(const struct activity *activity, enum activity_signal signal)
{
	return (double)activity->window[signal] / ((double)activity->window_ns / (double)NSEC_PER_SEC);
}

void activity_write(struct bus_writer *writer, const struct agent *agent)
{
	const struct activity *activity = agent->activity;
	uint64_t now_ns = manager_now_ns();

	if (!activity)
		return;
	bus_begin_dict(writer, "activity");
	bus_write_string(writer, "signal", activity_signal_name(activity->signal));
	bus_write_double(writer, "ago_s", (double)(now_ns - MIN2(agent->active_ns, now_ns)) / (double)NSEC_PER_SEC);
	if (activity->window_ns) {
		bus_write_double(writer, "window_s", (double)activity->window_ns / (double)NSEC_PER_SEC);
		bus_write_double(writer, "cpu_pct", per_second(activity, ACTIVITY_CPU) / 1e7);
		bus_write_double(writer, "io_bytes_per_s", per_second(activity, ACTIVITY_IO));
		bus_write_double(writer, "net_bytes_per_s", per_second(activity, ACTIVITY_NET));
		bus_write_u64(writer, "connects", activity->window[ACTIVITY_CONNECTS]);
		bus_write_u64(writer, "spawns", activity->window[ACTIVITY_SPAWNS]);
	}
	bus_end(writer);
}
