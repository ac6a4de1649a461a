/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel can do, and whether govd may use it. */
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/file.h"
#include "base/text.h"
#include "govd/doctor_check.h"
#include "sense/bpf.h"

#define KERNEL_FLOOR_MAJOR 6 /* Debian 12's 6.1 */
#define KERNEL_FLOOR_MINOR 1

void doctor_check_kernel(struct doctor *doctor)
{
	struct utsname name;
	unsigned long major, minor = 0;
	char *end;

	if (uname(&name) < 0) {
		doctor_report(doctor, "kernel", DOCTOR_FAIL, "uname: %s", strerror(errno));
		return;
	}
	major = strtoul(name.release, &end, 10);
	if (*end == '.')
		minor = strtoul(end + 1, NULL, 10);
	if (major > KERNEL_FLOOR_MAJOR || (major == KERNEL_FLOOR_MAJOR && minor >= KERNEL_FLOOR_MINOR))
		doctor_report(doctor, "kernel", DOCTOR_OK, "%s", name.release);
	else
		doctor_report(doctor, "kernel", DOCTOR_FAIL, "%s is too old: install Linux %d.%d or later",
			      name.release, KERNEL_FLOOR_MAJOR, KERNEL_FLOOR_MINOR);
}

/*
 * What govd does with each: BPF programs, fanotify and trusted xattrs, other users' /proc, signals, their files.
 * CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON, too: bpf(2). Where CAP_NET_ADMIN is needed, a program doesn't load.
 */
static const struct {
	int number;
	const char *name;
} needed_capabilities[] = {
	{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
	{CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
	{CAP_KILL, "CAP_KILL"},
	{CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"},
};

/* Without them govd works, but isn't sure of its own place when memory is short. */
static const struct {
	int number;
	const char *detail;
} wanted_capabilities[] = {
	{CAP_IPC_LOCK, "without CAP_IPC_LOCK govd isn't kept in memory and may be slow in an emergency of the host"},
	{CAP_SYS_RESOURCE, "without CAP_SYS_RESOURCE the kernel may choose govd itself when memory is short"},
};

static int read_effective_capabilities(uint64_t *ret_set)
{
	static const char label[] = "\nCapEff:\t";
	char status[4096];
	const char *line;
	ssize_t n = file_read(AT_FDCWD, "/proc/self/status", status, sizeof(status));

	if (n < 0)
		return (int)n;
	line = strstr(status, label);
	if (!line)
		return -ENODATA;
	*ret_set = strtoull(line + sizeof(label) - 1, NULL, 16);
	return 0;
}

void doctor_check_privileges(struct doctor *doctor)
{
	char bytes[256] = "";
	struct text missing = TEXT_ON(bytes);
	uint64_t set;
	int r = read_effective_capabilities(&set);

	if (r < 0) {
		doctor_report(doctor, "privileges", DOCTOR_FAIL, "/proc/self/status: %s", strerror(-r));
		return;
	}
	for (size_t i = 0; i < ELEMENTSOF(needed_capabilities); i++)
		if (!(set & (UINT64_C(1) << needed_capabilities[i].number)))
			text_addf(&missing, " %s", needed_capabilities[i].name);
	if (missing.length)
		doctor_report(doctor, "privileges", DOCTOR_FAIL, "missing:%s; run govd (and this) as root", bytes);
	else
		doctor_report(doctor, "privileges", DOCTOR_OK, "%s, all capabilities that are needed",
			      geteuid() == 0 ? "root" : "not root");
	for (size_t i = 0; i < ELEMENTSOF(wanted_capabilities); i++)
		if (!(set & (UINT64_C(1) << wanted_capabilities[i].number)))
			doctor_report(doctor, "memory", DOCTOR_WARN, "%s", wanted_capabilities[i].detail);
}

void doctor_check_btf(struct doctor *doctor)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		doctor_report(doctor, "btf", DOCTOR_OK, "/sys/kernel/btf/vmlinux");
	else
		doctor_report(doctor, "btf", DOCTOR_FAIL,
			      "/sys/kernel/btf/vmlinux: %s: BPF programs can't be fitted to this kernel; use one with "
			      "CONFIG_DEBUG_INFO_BTF",
			      strerror(errno));
}

/* What is lost without a program; where that isn't all of govd, it goes on. */
static const struct {
	const char *prefix;
	enum doctor_status status;
	const char *loss;
} program_losses[] = {
	{"connect_", DOCTOR_WARN, "connects aren't paced"},
	{"census_socket", DOCTOR_WARN, "sockets aren't counted, and connects aren't paced"},
	{"watch_", DOCTOR_WARN, "connects outside of the slice aren't seen, and none are paced"},
	{"oom_begin", DOCTOR_WARN, "whose limit an OOM is of isn't always told right"},
	{"oom_end", DOCTOR_WARN, "whose limit an OOM is of isn't always told right"},
	{"oom_", DOCTOR_WARN, "deaths for want of memory, or by SIGKILL, aren't told, and connects aren't paced"},
	{"activity_", DOCTOR_WARN, "nobody is told to be idle or hung, and connects aren't paced"},
	{"fanout_", DOCTOR_WARN, "fan-outs aren't told, and connects aren't paced"},
	{"", DOCTOR_FAIL, "govd doesn't see agents start"},
};

static void report_program(const char *program, int error, const char *detail, void *userdata)
{
	struct doctor *doctor = userdata;
	char check[sizeof(doctor->rows[0].check)];
	size_t i = 0;

	while (strncmp(program, program_losses[i].prefix, strlen(program_losses[i].prefix)) != 0)
		i++;
	snprintf(check, sizeof(check), "bpf %s", program);
	if (!error)
		doctor_report(doctor, check, DOCTOR_OK, "loads");
	else if (error == -EPERM && program_losses[i].status == DOCTOR_FAIL)
		doctor_report(doctor, check, DOCTOR_FAIL,
			      "not permitted: run as root; where root is, /sys/kernel/security/lockdown forbids it");
	else
		doctor_report(doctor, check, program_losses[i].status, "%s%s%s: without it %s", strerror(-error),
			      str_empty(detail) ? "" : ": ", detail ? detail : "", program_losses[i].loss);
}

void doctor_check_bpf(struct doctor *doctor)
{
	int r = bpf_sense_probe(report_program, doctor);

	if (r < 0)
		doctor_report(doctor, "bpf", DOCTOR_FAIL, "can't be tried: %s", strerror(-r));
}

void doctor_check_fanotify(struct doctor *doctor)
{
	/* EINVAL for this class: no CONFIG_FANOTIFY_ACCESS_PERMISSIONS, fanotify_init(2). */
	_cleanup_close_ int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		doctor_report(doctor, "hold", DOCTOR_OK, "fanotify permission events: agents wait for their group");
	else if (errno == EMFILE)
		doctor_report(doctor, "hold", DOCTOR_WARN,
			      "all fanotify groups are taken: agents are placed after their start only; raise "
			      "fs.fanotify.max_user_groups");
	else
		doctor_report(
			doctor, "hold", DOCTOR_WARN,
			"no fanotify permission events (%s): agents are placed after their start only, some ms late",
			strerror(errno));
}

void doctor_check_pid_namespace(struct doctor *doctor)
{
	const ino_t initial = 0xEFFFFFFC; /* PROC_PID_INIT_INO, include/linux/proc_ns.h */
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) < 0)
		doctor_report(doctor, "pid namespace", DOCTOR_FAIL, "/proc/self/ns/pid: %s: mount /proc",
			      strerror(errno));
	else if (st.st_ino == initial)
		doctor_report(doctor, "pid namespace", DOCTOR_OK, "the host's");
	else
		doctor_report(
			doctor, "pid namespace", DOCTOR_FAIL,
			"not the host's: the kernel's records name other pids than /proc here; run govd outside of "
			"containers");
}
