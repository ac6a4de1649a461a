/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <link.h>
#include <linux/capability.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/log.h"

#define LOOK_ACCURACY_US 5000
/* Before records of the kernel and all else that the loop has to do. */
#define EMERGENCY_PRIORITY (SD_EVENT_PRIORITY_IMPORTANT - 100)

/* ---- looking ---- */

static void look(struct manager *manager)
{
	struct manager_emergency *emergency = &manager->emergency;
	struct event event = {.kind = EVENT_HOST};
	uint64_t next_ns;
	int r;

	r = host_sense_read(&emergency->host, &event.host);
	if (r == 0) {
		manager_dispatch(manager, &event);
		next_ns = state_next_look_ns(manager->state);
	} else {
		manager->counts.actions_failed++;
		next_ns = manager_now_ns() + NSEC_PER_SEC;
		if (!emergency->has_failed)
			log_warning("can't read the host's memory: %s; an emergency of it isn't seen", strerror(-r));
	}
	emergency->has_failed = r < 0;
	if (next_ns == UINT64_MAX) {
		sd_event_source_set_enabled(emergency->look, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(emergency->look, next_ns / NSEC_PER_USEC);
	sd_event_source_set_enabled(emergency->look, SD_EVENT_ONESHOT);
}

static int on_look(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
	look(userdata);
	return 0;
}

static int on_pressure(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
	look(userdata);
	return 0;
}

static int open_trigger(struct manager *manager, const struct host_emergency *rules)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = host_sense_trigger(rules->pressure_full_pct, rules->for_ns, &fd);
	if (r < 0)
		return r;
	r = sd_event_add_io(manager->event, &manager->emergency.trigger, fd, EPOLLPRI, on_pressure, manager);
	if (r < 0)
		return r;
	r = manager_give_fd(&manager->emergency.trigger, &fd);
	return r < 0 ? r : sd_event_source_set_priority(manager->emergency.trigger, EMERGENCY_PRIORITY);
}

void emergency_reload(struct manager *manager)
{
	const struct host_emergency *rules = &manager->policies->host.emergency;
	struct manager_emergency *emergency = &manager->emergency;
	int r = 0;

	if (!emergency->is_open)
		return;
	emergency->trigger = sd_event_source_disable_unref(emergency->trigger);
	if (rules->pressure_full_pct && emergency->host.pressure_fd >= 0)
		r = open_trigger(manager, rules);
	if (r < 0)
		log_debug("the kernel doesn't tell of pressure (%s): it is looked at once a second", strerror(-r));
	look(manager);
}

int emergency_open(struct manager *manager)
{
	struct manager_emergency *emergency = &manager->emergency;
	int r;

	emergency->weights = calloc(STATE_AGENTS_MAX, sizeof(*emergency->weights));
	if (!emergency->weights)
		return -ENOMEM;
	r = host_sense_open(&emergency->host);
	if (r < 0) {
		log_warning("can't read the host's memory: %s; an emergency of it isn't seen", strerror(-r));
		return 0;
	}
	emergency->is_open = true;
	if (emergency->host.pressure_fd < 0)
		log_warning("the kernel doesn't measure pressure (psi=1 on its command line switches it on): an "
			    "emergency is told by available memory alone");
	r = sd_event_add_time(manager->event, &emergency->look, CLOCK_MONOTONIC, UINT64_MAX, LOOK_ACCURACY_US, on_look,
			      manager);
	if (r < 0)
		return r;
	r = sd_event_source_set_priority(emergency->look, EMERGENCY_PRIORITY);
	return r < 0 ? r : sd_event_source_set_enabled(emergency->look, SD_EVENT_OFF);
}

void emergency_done(struct manager *manager)
{
	struct manager_emergency *emergency = &manager->emergency;

	sd_event_source_disable_unref(emergency->look);
	sd_event_source_disable_unref(emergency->trigger);
	if (emergency->is_open)
		host_sense_close(&emergency->host);
	kills_close(&emergency->kills);
	free(emergency->weights);
}

/* ---- kills_per_min, whoever counts ---- */

void emergency_load(struct manager *manager)
{
	struct event event = {.kind = EVENT_PAST_KILL};
	uint64_t times_ns[EMERGENCY_KILLS_MAX];
	size_t n;
	int r;

	r = kills_open(manager->options.runtime_dir, &manager->emergency.kills);
	if (r < 0)
		log_warning("can't keep in %s/" KILLS_FILE
			    " whom an emergency ends: %s; emergency.kills_per_min would begin anew with the next govd",
			    manager->options.runtime_dir, strerror(-r));
	n = kills_read(&manager->emergency.kills, times_ns, ELEMENTSOF(times_ns));
	for (size_t i = 0; i < n; i++) {
		event.past_kill.kill_ns = times_ns[i];
		manager_dispatch(manager, &event);
	}
}

void emergency_keep(struct manager *manager)
{
	struct manager_emergency *emergency = &manager->emergency;
	uint64_t last_ns = state_last_kill_ns(manager->state);

	if (last_ns == emergency->kept_ns)
		return;
	kills_add(&emergency->kills, last_ns);
	emergency->kept_ns = last_ns;
}

/* ---- weighing ---- */

void emergency_weigh(struct manager *manager, const struct action *action)
{
	struct manager_emergency *emergency = &manager->emergency;
	struct event event = {.kind = EVENT_WEIGHED};
	const struct agent *agent;
	size_t cursor = 0, n = 0;

	while (n < STATE_AGENTS_MAX && (agent = state_agent_next(manager->state, &cursor))) {
		struct agent_weight *weight = &emergency->weights[n++];

		*weight = (struct agent_weight){.agent = agent->handle, .bytes = UINT64_MAX};
		if (agent->is_placed)
			weight->bytes = groups_weigh(manager->groups, agent->handle, action->bytes);
		else if (agent->has_root) /* observed: it has no group */
			weight->bytes = groups_weigh_process(agent->root_pid);
		if (agent->has_root && procfs_parent(agent->root_pid, agent->root_start_ticks, &weight->ppid) < 0)
			weight->ppid = 0;
	}
	event.weighed.items = emergency->weights;
	event.weighed.n = n;
	manager_enqueue(manager, &event);
}

void emergency_write_status(struct manager *manager, struct bus_writer *writer)
{
	struct emergency_view view;

	state_emergency(manager->state, &view);
	bus_begin_dict(writer, "emergency");
	bus_write_string(writer, "state", manager->emergency.is_open ? view.state : "off");
	if (view.available_bytes != UINT64_MAX)
		bus_write_u64(writer, "available_bytes", view.available_bytes);
	if (view.full_milli != UINT64_MAX)
		bus_write_u64(writer, "full_pct", (view.full_milli + 500) / 1000);
	bus_write_u64(writer, "kills", view.kills);
	bus_end(writer);
}

/* ---- being there when it happens ---- */

/* govd's own code, so that none of it is read from the disk for the first time when the disk is what everybody waits
 * for. */
static int populate_code(struct dl_phdr_info *info, _unused_ size_t size, _unused_ void *userdata)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t begin = info->dlpi_addr + header->p_vaddr;
		uintptr_t end = (begin + header->p_memsz + page - 1) & ~(page - 1);

		begin &= ~(page - 1);
		if (header->p_type == PT_LOAD && header->p_flags & PF_X)
			(void)!madvise((void *)begin, end - begin, MADV_POPULATE_READ);
	}
	return 1; /* the first is the program itself: of the libraries, what is used has been used by now */
}

/* With a limit on it, locking what is to come would make allocations fail. */
static bool may_lock_all(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
	static const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	if (setrlimit(RLIMIT_MEMLOCK, &all) == 0)
		return true;
	return syscall(SYS_capget, &header, data) == 0 &&
	       data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK);
}

void emergency_lock_memory(void)
{
	if (!may_lock_all()) {
		log_warning("can't keep govd in memory (it has no CAP_IPC_LOCK): it may be slow when memory is short");
		return;
	}
	dl_iterate_phdr(populate_code, NULL);
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_warning("can't keep govd in memory (%m): it may be slow when memory is short");
}
