/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "govd/check.h"

#define GOVD_NICE (-10)		  /* setpriority(2) */
#define GOVD_OOM_SCORE_ADJ "-900" /* proc_pid_oom_score_adj(5): as sshd's and udevd's, not quite -1000 */

uint64_t manager_next_second_us(void)
{
	return (manager_now_ns() / NSEC_PER_SEC + 1) * 1000000;
}

uint64_t manager_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

double manager_seconds(uint64_t ns)
{
	uint64_t ms = ns / NSEC_PER_MSEC;

	return (double)ms / 1000.0;
}

int manager_give_fd(sd_event_source **source, int *fd)
{
	int r = sd_event_source_set_io_fd_own(*source, true);

	if (r < 0)
		*source = sd_event_source_disable_unref(*source);
	else
		TAKE_FD(*fd);
	return r;
}

void manager_call_after(struct manager *manager, sd_event_source **source, uint64_t after_us,
			sd_event_time_handler_t handler)
{
	int enabled;

	if (!*source) {
		if (sd_event_add_time_relative(manager->event, source, CLOCK_MONOTONIC, after_us, 0, handler, manager) <
		    0)
			manager->counts.actions_failed++;
		return;
	}
	if (sd_event_source_get_enabled(*source, &enabled) < 0 || enabled != SD_EVENT_OFF)
		return;
	sd_event_source_set_time_relative(*source, after_us);
	sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
}

int manager_watch_fd(struct manager *manager, sd_event_source **source, int fd, sd_event_io_handler_t handler)
{
	_cleanup_close_ int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int r;

	*source = sd_event_source_disable_unref(*source);
	if (own < 0)
		return -errno;
	r = sd_event_add_io(manager->event, source, own, EPOLLIN, handler, manager);
	return r < 0 ? r : manager_give_fd(source, &own);
}

int manager_protect(struct manager *manager, pid_t pid)
{
	int r = groups_guard(manager->groups, pid);

	return r < 0 ? r : procfs_protect(manager->procfs, pid);
}

uint64_t manager_realtime_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / NSEC_PER_MSEC;
}

int program_path(const char *name, char *path, size_t size)
{
	char directory[PATH_MAX];
	int r = file_own_directory(directory, sizeof(directory));

	if (r < 0)
		return r;
	if ((size_t)snprintf(path, size, "%s/%s", directory, name) < size && access(path, X_OK) == 0)
		return 0;
	if ((size_t)snprintf(path, size, "%s/%s", GOV_LIBEXECDIR, name) < size && access(path, X_OK) == 0)
		return 0;
	return -ENOENT;
}

/* ---- signals ---- */

static int on_terminate(_unused_ sd_event_source *source, _unused_ const struct signalfd_siginfo *si, void *userdata)
{
	sd_notify(0, "STOPPING=1");
	return drain_begin(userdata);
}

static int on_hangup(_unused_ sd_event_source *source, _unused_ const struct signalfd_siginfo *si, void *userdata)
{
	struct manager *manager = userdata;

	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(manager_now_ns() / NSEC_PER_USEC));
	if (manager_load_policies(manager) < 0)
		manager->counts.actions_failed++;
	sd_notify(0, "READY=1");
	return 0;
}

static int open_signals(struct manager *manager)
{
	static const struct {
		int number;
		sd_event_signal_handler_t handler;
	} signals[] = {{SIGTERM, on_terminate}, {SIGINT, on_terminate}, {SIGHUP, on_hangup}};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ELEMENTSOF(signals); i++)
		sigaddset(&set, signals[i].number);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
		int r = sd_event_add_signal(manager->event, NULL, signals[i].number, signals[i].handler, manager);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- life ---- */

static int open_directories(struct manager *manager)
{
	char link[PATH_MAX], target[PATH_MAX];
	int r;

	r = file_mkdir_all(manager->options.state_dir, 0750);
	if (r < 0) {
		log_err("can't make the state directory %s: %s", manager->options.state_dir, strerror(-r));
		return r;
	}
	/* For govctl, which finds the history by the socket's directory when govd is down. */
	if (!realpath(manager->options.state_dir, target))
		return -errno;
	snprintf(link, sizeof(link), "%s/%s", manager->options.runtime_dir, GOV_RUNTIME_STATE_LINK);
	if (unlink(link) < 0 && errno != ENOENT)
		log_warning("can't replace %s: %m", link);
	if (symlink(target, link) < 0)
		log_warning("can't make %s: %m", link);
	return 0;
}

/*
 * Whoever governs a busy host must get the CPU on it, and is the last that memory pressure may take. Not fatal: units/
 * and containers may have said otherwise.
 */
static void raise_priority(void)
{
	if (setpriority(PRIO_PROCESS, 0, GOVD_NICE) < 0)
		log_debug("can't raise govd's priority: %m");
	if (file_write(AT_FDCWD, "/proc/self/oom_score_adj", GOVD_OOM_SCORE_ADJ) < 0)
		log_debug("can't lower govd's oom_score_adj");
}

/* Each agent keeps up to four descriptors, and each client two. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_debug("can't raise the limit of descriptors: %m");
}

static int open_core(struct manager *manager)
{
	uint64_t seed;
	int r;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	/* Agents of all users read their limits in their groups; what is private is made with a mode that says so. */
	umask(0022);
	raise_priority();
	raise_descriptors();
	manager->host = check_host();
	manager->state = state_new(seed);
	if (!manager->state)
		return -ENOMEM;
	r = manager->options.record ? tracer_new(manager->options.record, seed, &manager->tracer) : 0;
	if (r < 0) {
		log_err("can't record to %s: %s", manager->options.record, strerror(-r));
		return r;
	}
	return journal_init(&manager->journal);
}

static int open_bus(struct manager *manager)
{
	struct bus_calls calls = manager_calls;
	int r;

	calls.userdata = manager;
	r = bus_new(manager->event, manager->options.runtime_dir, &manager->journal, &calls, &manager->bus);
	if (r == -EADDRINUSE)
		log_err("another govd answers on %s/" GOV_BUS_SOCKET
			": stop it, or use another --runtime-dir, --state-dir and --slice",
			manager->options.runtime_dir);
	else if (r < 0)
		log_err("can't listen on %s/" GOV_BUS_SOCKET ": %s", manager->options.runtime_dir, strerror(-r));
	return r;
}

int manager_new(const struct manager_options *options, struct manager **ret_manager)
{
	static int (*const steps[])(struct manager *) = {
		open_signals, open_core, open_bus, open_directories, manager_open_recorder, manager_open_sensors,
	};
	_cleanup_(manager_freep) struct manager *manager = calloc(1, sizeof(*manager));
	int r;

	if (!manager)
		return -ENOMEM;
	manager->options = *options;
	r = sd_event_default(&manager->event);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
		r = steps[i](manager);
		if (r < 0)
			return r;
	}
	r = manager_open_hold(manager);
	if (r < 0) {
		log_err("can't start govd-hold: %s; is it beside govd or in " GOV_LIBEXECDIR "?", strerror(-r));
		return r;
	}
	manager_watch_recorder(manager);
	r = manager_load_policies(manager);
	if (r < 0)
		return r;
	restarts_load(manager);
	emergency_load(manager);
	r = groups_restore(manager->groups);
	if (r < 0)
		log_warning("can't look for agents of an earlier govd: %s", strerror(-r));
	else
		connects_drop_lost(manager);
	*ret_manager = TAKE_PTR(manager);
	return 0;
}

struct manager *manager_free(struct manager *manager)
{
	if (!manager)
		return NULL;
	sd_event_source_disable_unref(manager->hold_source);
	sd_event_source_disable_unref(manager->hold_timer);
	sd_event_source_disable_unref(manager->recorder_source);
	sd_event_source_disable_unref(manager->tick_source);
	sd_event_source_disable_unref(manager->drain_source);
	sd_event_source_disable_unref(manager->restarts_source);
	sd_event_source_disable_unref(manager->tracer_source);
	sd_event_source_disable_unref(manager->census_source);
	sd_event_source_disable_unref(manager->sockets_source);
	sd_event_source_disable_unref(manager->connects_source);
	sd_event_source_disable_unref(manager->connects_rest);
	bus_free(manager->bus);
	hold_free(manager->hold);
	bpf_sense_free(manager->bpf);
	procfs_free(manager->procfs);
	groups_free(manager->groups);
	parents_done(manager);
	sockets_done(manager);
	emergency_done(manager);
	pressure_done(manager);
	activity_done(manager);
	connects_forget_troubled(manager);
	recorder_free(manager->recorder);
	journal_done(&manager->journal);
	actions_done(&manager->actions);
	free(manager->queue);
	state_free(manager->state);
	tracer_free(manager->tracer);
	policy_set_unref(manager->policies);
	conf_errors_done(&manager->policy_errors);
	sd_event_unref(manager->event);
	free(manager);
	return NULL;
}

/* There is one such name on a host: it is for the govd that has the host's socket. */
static void open_system_bus(struct manager *manager)
{
	int r = 0;

	if (streq(manager->options.runtime_dir, GOV_DEFAULT_RUNTIME_DIR))
		r = bus_system_open(manager->bus);
	if (r < 0)
		log_warning("not on the system bus: %s", strerror(-r));
}

int manager_run(struct manager *manager)
{
	int r;

	r = sd_event_set_watchdog(manager->event, true);
	if (r < 0)
		log_warning("can't keep the service manager's watchdog: %s", strerror(-r));
	/* What runs already is looked at before govd says that it governs. */
	manager_ask_census(manager, "policies");
	manager_census(manager);
	open_system_bus(manager);
	malloc_trim(0);
	emergency_lock_memory();
	log_info("ready");
	sd_notify(0, "READY=1\nSTATUS=Governing.");
	r = sd_event_loop(manager->event);
	if (r >= 0)
		connects_close(manager);
	restarts_save(manager);
	return r;
}
