/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Other daemons on this host that do what govd does, to the same processes. */
#include <dirent.h>
#include <fcntl.h>

#include "base/file.h"
#include "base/text.h"
#include "govd/doctor_check.h"

#define COMM_MAX 16 /* TASK_COMM_LEN, with the terminator */

static const struct {
	char comm[COMM_MAX]; /* the kernel cuts it to 15 bytes */
	const char *detail;
} others[] = {
	{"systemd-oomd",
	 "it ends whole groups by pressure, agents.slice too where ManagedOOM*= covers it, and doesn't know "
	 "govd's order; leave it to one of them: systemctl disable --now systemd-oomd, or keep "
	 "ManagedOOM*=auto for the root slice and agents.slice (oomctl shows what it watches)"},
	{"earlyoom", "it kills the largest process when memory is short, half of an agent maybe, before govd chooses; "
		     "systemctl disable --now earlyoom, or have it spare agents (--avoid in /etc/default/earlyoom)"},
	{"cgrulesengd",
	 "it moves processes to groups by its own rules, out of the groups of agents too; take agents out "
	 "of /etc/cgrules.conf, or end it"},
};

static void look_at(const char *pid, bool found[ELEMENTSOF(others)])
{
	char path[64], comm[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	n = file_read(AT_FDCWD, path, comm, sizeof(comm));
	if (n <= 0)
		return;
	comm[strcspn(comm, "\n")] = '\0';
	for (size_t i = 0; i < ELEMENTSOF(others); i++)
		found[i] = found[i] || streq(comm, others[i].comm);
}

/* Any process may take any name, so this is a hint and no more: nothing is done to whom it names. */
void doctor_check_others(struct doctor *doctor)
{
	bool found[ELEMENTSOF(others)] = {}, any = false;
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	if (!proc) {
		doctor_report(doctor, "others", DOCTOR_WARN, "/proc: %s", strerror(errno));
		return;
	}
	while ((entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			look_at(entry->d_name, found);
	closedir(proc);
	for (size_t i = 0; i < ELEMENTSOF(others); i++)
		if (found[i]) {
			doctor_report(doctor, others[i].comm, DOCTOR_WARN, "runs beside govd: %s", others[i].detail);
			any = true;
		}
	if (!any)
		doctor_report(doctor, "others", DOCTOR_OK, "neither systemd-oomd nor earlyoom nor cgrulesengd runs");
}
