/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory, and the limits that govd itself lives under. */
#include <fcntl.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/resource.h>

#include "base/file.h"
#include "core/step.h"
#include "govd/doctor_check.h"
#include "sense/host.h"

/* A window that isn't a multiple of 2 s shows whether any may be had. */
#define PSI_WINDOW_NS NSEC_PER_SEC
#define PSI_PCT 50

void doctor_check_psi(struct doctor *doctor)
{
	_cleanup_close_ int fd = -EBADF;
	char line[256];
	ssize_t n = file_read(AT_FDCWD, "/proc/pressure/memory", line, sizeof(line));
	int r = n < 0 ? 0 : host_sense_trigger(PSI_PCT, PSI_WINDOW_NS, &fd);

	if (n >= 0 && r == 0)
		doctor_report(doctor, "psi", DOCTOR_OK, "pressure is measured, and told");
	else if (n >= 0 && r > 0)
		doctor_report(doctor, "psi", DOCTOR_OK,
			      "pressure is measured, and told in windows of whole 2 s, for want of CAP_SYS_RESOURCE");
	else if (n >= 0)
		doctor_report(doctor, "psi", DOCTOR_WARN,
			      "pressure is measured, but not told (%s): that of the host is looked at once a second, "
			      "that of agents when they reach memory.high or memory.max; govd needs CAP_SYS_RESOURCE",
			      strerror(-r));
	else if (n == -EOPNOTSUPP)
		doctor_report(doctor, "psi", DOCTOR_WARN, "switched off: pressure isn't known; boot with psi=1");
	else
		doctor_report(doctor, "psi", DOCTOR_WARN,
			      "%s: pressure isn't known; boot with psi=1, or use a kernel with CONFIG_PSI",
			      strerror((int)-n));
}

/* What the ladder can do, govd.policy(5): a group of our own shows which files an agent's has. */
void doctor_check_ladder(struct doctor *doctor, int group_fd)
{
	bool is_v2 = doctor->layout.where[CONTROLLER_MEMORY] == WHERE_V2;

	if (faccessat(group_fd, "memory.pressure", F_OK, 0) < 0)
		doctor_report(
			doctor, "memory pressure", DOCTOR_WARN,
			"not measured: agents that are short of memory are neither told of nor slowed down (see psi)");
	else if (!is_v2)
		doctor_report(doctor, "memory pressure", DOCTOR_WARN,
			      "v1's memory controller can't slow agents down or reclaim their memory: "
			      "memory.on_pressure notes, freezes and stops only");
	else
		doctor_report(doctor, "memory pressure", DOCTOR_OK, "noted, and acted on by all of memory.on_pressure");
}

/* kB of swap, /proc/meminfo. */
static int read_swap_kib(uint64_t *ret_kib)
{
	static const char label[] = "\nSwapTotal:";
	char text[4096];
	const char *line;
	ssize_t n = file_read(AT_FDCWD, "/proc/meminfo", text, sizeof(text));

	if (n < 0)
		return (int)n;
	line = strstr(text, label);
	if (!line)
		return -ENODATA;
	*ret_kib = strtoull(line + sizeof(label) - 1, NULL, 10);
	return 0;
}

void doctor_check_swap(struct doctor *doctor)
{
	bool is_v2 = doctor->has_layout && doctor->layout.where[CONTROLLER_MEMORY] == WHERE_V2;
	uint64_t kib;
	int r = read_swap_kib(&kib);

	if (r < 0)
		doctor_report(doctor, "swap", DOCTOR_WARN, "/proc/meminfo: %s", strerror(-r));
	else if (kib)
		doctor_report(doctor, "swap", DOCTOR_OK, "%llu MiB", (unsigned long long)kib / 1024);
	else if (is_v2)
		doctor_report(doctor, "swap", DOCTOR_WARN,
			      "none: an agent that comes above memory.high gets stuck there, and memory.on_oom decides "
			      "within 10 s; add swap, or set memory.max alone");
	else
		doctor_report(doctor, "swap", DOCTOR_OK, "none");
}

/* v1 counts swap only with swapaccount=1 (and CONFIG_MEMCG_SWAP); v2 always does. */
void doctor_check_swap_limit(struct doctor *doctor)
{
	char path[PATH_MAX + 64];
	int where;

	if (!doctor->has_layout)
		return;
	where = doctor->layout.where[CONTROLLER_MEMORY];
	if (where < 0)
		return;
	snprintf(path, sizeof(path), "%s/memory.memsw.usage_in_bytes", doctor->layout.v1[where].mount);
	if (access(path, F_OK) == 0)
		doctor_report(doctor, "swap limit", DOCTOR_OK, "v1 memory counts swap");
	else
		doctor_report(
			doctor, "swap limit", DOCTOR_WARN,
			"v1 memory doesn't count swap: memory.swap_max can't be enforced; boot with swapaccount=1");
}

/* An agent costs a descriptor for its group, and one or two more while something is done to it. */
#define DESCRIPTORS_WANTED (4 * (rlim_t)STATE_AGENTS_MAX)

void doctor_check_descriptors(struct doctor *doctor)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		doctor_report(doctor, "descriptors", DOCTOR_WARN, "getrlimit: %s", strerror(errno));
	else if (limit.rlim_max < DESCRIPTORS_WANTED)
		doctor_report(doctor, "descriptors", DOCTOR_WARN,
			      "at most %llu may be open (ulimit -Hn): too few for %d agents; allow %llu",
			      (unsigned long long)limit.rlim_max, STATE_AGENTS_MAX,
			      (unsigned long long)DESCRIPTORS_WANTED);
	else
		doctor_report(doctor, "descriptors", DOCTOR_OK, "at most %llu may be open",
			      (unsigned long long)limit.rlim_max);
}

/* govd watches each agent's cgroup.events. */
void doctor_check_inotify(struct doctor *doctor)
{
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	uint64_t watches;
	int r;

	if (fd < 0) {
		doctor_report(doctor, "inotify", DOCTOR_FAIL,
			      "%s: govd can't see that a group is empty; raise fs.inotify.max_user_instances",
			      strerror(errno));
		return;
	}
	r = file_read_u64(AT_FDCWD, "/proc/sys/fs/inotify/max_user_watches", &watches);
	if (r < 0)
		doctor_report(doctor, "inotify", DOCTOR_WARN, "max_user_watches: %s", strerror(-r));
	else if (watches < STATE_AGENTS_MAX)
		doctor_report(doctor, "inotify", DOCTOR_WARN,
			      "root may watch %llu files: too few for %d agents; raise fs.inotify.max_user_watches",
			      (unsigned long long)watches, STATE_AGENTS_MAX);
	else
		doctor_report(doctor, "inotify", DOCTOR_OK, "root may watch %llu files", (unsigned long long)watches);
}
