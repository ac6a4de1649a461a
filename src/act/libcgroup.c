/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/libcgroup.h"

#include <libcgroup.h>

#include "base/text.h"

static const struct {
	int code, error;
} codes[] = {
	{ECGROUPNOTCOMPILED, ENOSYS},
	{ECGROUPNOTMOUNTED, ENODEV},
	{ECGROUPNOTEXIST, ENOENT},
	{ECGROUPSUBSYSNOTMOUNTED, ENOENT},
	{ECGROUPNOTOWNER, EPERM},
	{ECGROUPNOTALLOWED, EPERM},
	{ECGROUPMULTIMOUNTED, ENOTUNIQ},
	{ECGMAXVALUESEXCEEDED, E2BIG},
	{ECGINVAL, EINVAL},
	{ECGROUPVALUENOTEXIST, ENOENT},
	{ECGEOF, ENODATA},
	{ECGROUPUNSUPP, EOPNOTSUPP},
	{ECGNONEMPTY, EBUSY},
};

/* libcgroup returns 0 or one of its own positive codes. */
static int libcgroup_error(int code)
{
	if (code == 0)
		return 0;
	if (code == ECGOTHER) {
		int error = cgroup_get_last_errno();

		return error > 0 ? -error : -EIO;
	}
	for (size_t i = 0; i < ELEMENTSOF(codes); i++)
		if (codes[i].code == code)
			return -codes[i].error;
	return -EIO;
}

int libcgroup_open(void)
{
	return libcgroup_error(cgroup_init());
}

int libcgroup_mount_point(const char *controller, char *ret_path, size_t size)
{
	_cleanup_free_ char *path = NULL;
	int r;

	r = libcgroup_error(cgroup_get_subsys_mount_point(controller, &path));
	if (r < 0)
		return r;
	if (!path)
		return -ENOENT;
	return text_copy(ret_path, size, path) ? 0 : -ENAMETOOLONG;
}

int libcgroup_create(const char *controller, const char *path)
{
	struct cgroup *group;
	int r;

	group = cgroup_new_cgroup(path);
	if (!group)
		return -ENOMEM;
	if (cgroup_add_controller(group, controller))
		/* 1: leave owner and mode as mkdir makes them. */
		r = libcgroup_error(cgroup_create_cgroup(group, 1));
	else
		r = -ENOMEM;
	cgroup_free(&group);
	return r;
}
