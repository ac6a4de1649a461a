/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How control groups are laid out here, and what a group has. */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/text.h"
#include "govd/doctor_check.h"

void doctor_check_layout(struct doctor *doctor)
{
	const struct layout *layout = &doctor->layout;

	if (!doctor->has_layout)
		doctor_report(doctor, "cgroups", DOCTOR_FAIL, "%s", doctor->layout_error);
	else if (layout->n_v1)
		doctor_report(doctor, "cgroups", DOCTOR_OK, "hybrid: v2 tree at %s, own group %s, %zu v1 hierarchies",
			      layout->v2.mount, str_empty(layout->v2.own) ? "/" : layout->v2.own, layout->n_v1);
	else
		doctor_report(doctor, "cgroups", DOCTOR_OK, "v2 at %s, own group %s", layout->v2.mount,
			      str_empty(layout->v2.own) ? "/" : layout->v2.own);
}

static const char *const controller_limits[CONTROLLERS] = {
	[CONTROLLER_MEMORY] = "memory.high, memory.max and memory.swap_max",
	[CONTROLLER_PIDS] = "tasks.max",
	[CONTROLLER_CPU] = "cpu.weight and cpu.max",
};

/* A controller may be switched off at boot: say so, as it explains the rest. */
static bool is_disabled_at_boot(const char *controller)
{
	char line[4096];
	const char *found;

	if (file_read(AT_FDCWD, "/proc/cmdline", line, sizeof(line)) < 0)
		return false;
	found = strstr(line, "cgroup_disable=");
	return found && strstr(found, controller);
}

void doctor_check_controllers(struct doctor *doctor)
{
	const struct layout *layout = &doctor->layout;
	unsigned passed_on;

	if (!doctor->has_layout)
		return;
	/* systemd switches on for a unit what its properties need. */
	passed_on = doctor->is_systemd ? layout->v2.controllers : layout_passed_on(layout);
	for (int i = 0; i < CONTROLLERS; i++) {
		const char *name = controller_name((enum controller)i);
		char check[64];
		int where = layout->where[i];

		snprintf(check, sizeof(check), "controller %s", name);
		if (where == WHERE_V2 && !(passed_on & 1U << i))
			doctor_report(doctor, check, DOCTOR_WARN, "v2, but %s of policies can't be enforced: %s",
				      controller_limits[i], LAYOUT_NOT_PASSED_ON);
		else if (where == WHERE_V2)
			doctor_report(doctor, check, DOCTOR_OK, "v2, %s", layout->v2.mount);
		else if (where >= 0 && i == CONTROLLER_MEMORY)
			doctor_report(doctor, check, DOCTOR_WARN,
				      "v1, %s: memory.high is a soft limit there, which holds under the host's "
				      "pressure only; set memory.max, or boot with v2",
				      layout->v1[where].mount);
		else if (where >= 0)
			doctor_report(doctor, check, DOCTOR_OK, "v1, %s", layout->v1[where].mount);
		else
			doctor_report(doctor, check, DOCTOR_WARN, "nowhere: %s of policies can't be enforced; %s",
				      controller_limits[i],
				      is_disabled_at_boot(name)
					      ? "take it out of cgroup_disable= on the kernel's command line"
					      : "mount it, or use a kernel that has it");
	}
}

static const struct {
	const char *file;
	enum doctor_status without;
	const char *degrades;
} group_files[] = {
	{"cgroup.kill", DOCTOR_FAIL, "an agent's tree can't be ended at once (Linux 5.14 has it)"},
	{"cgroup.freeze", DOCTOR_FAIL, "agents can't be frozen (Linux 5.2 has it)"},
	{"cpu.stat", DOCTOR_WARN, "an agent's CPU time isn't known"},
	{"memory.pressure", DOCTOR_WARN, "an agent's memory pressure isn't known (see psi)"},
};

static void check_xattr(struct doctor *doctor, int fd)
{
	static const char name[] = "trusted.govd.doctor";

	if (fsetxattr(fd, name, "1", 1, 0) == 0 && fremovexattr(fd, name) == 0)
		doctor_report(doctor, "group xattr", DOCTOR_OK, "agents' state survives a restart of govd");
	else
		doctor_report(doctor, "group xattr", DOCTOR_FAIL,
			      "%s: an agent's state can't be kept on its group, it is lost when govd restarts",
			      strerror(errno));
}

/*
 * The root group has no cgroup.kill and no cgroup.freeze: a group of our own, for a moment, shows what an agent has.
 * Where systemd owns the tree, the group that we are in does.
 */
void doctor_check_group_files(struct doctor *doctor)
{
	const struct hierarchy *v2 = &doctor->layout.v2;
	bool is_own = !doctor->is_systemd || !v2->own[0];
	_cleanup_close_ int fd = -EBADF;
	char path[2 * PATH_MAX + 64];

	if (!doctor->has_layout)
		return;
	snprintf(path, sizeof(path), "%s%s", v2->mount, v2->own);
	if (is_own)
		snprintf(path + strlen(path), 64, "/govd-doctor-%d", (int)getpid());
	if (is_own && mkdir(path, 0755) < 0) {
		doctor_report(doctor, "groups", DOCTOR_FAIL, "%s: can't be made: %s", path, strerror(errno));
		return;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		doctor_report(doctor, "groups", DOCTOR_FAIL, "%s: %s", path, strerror(errno));
	} else {
		for (size_t i = 0; i < ELEMENTSOF(group_files); i++)
			if (faccessat(fd, group_files[i].file, F_OK, 0) == 0)
				doctor_report(doctor, group_files[i].file, DOCTOR_OK, "there");
			else
				doctor_report(doctor, group_files[i].file, group_files[i].without, "missing: %s",
					      group_files[i].degrades);
		check_xattr(doctor, fd);
		doctor_check_ladder(doctor, fd);
	}
	if (is_own && rmdir(path) < 0)
		doctor_report(doctor, "groups", DOCTOR_WARN, "%s: can't be removed: %s", path, strerror(errno));
}

void doctor_check_backend(struct doctor *doctor)
{
	char why[256];

	if (!doctor->has_layout)
		return;
	doctor->is_systemd = layout_is_systemds(&doctor->layout, why, sizeof(why));
	doctor_report(doctor, "backend", DOCTOR_OK, "%s: %s; %s", doctor->is_systemd ? "systemd" : "native", why,
		      doctor->is_systemd ? "each agent is a scope of systemd's" : "govd makes the groups itself");
}
