/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/systemd.h"
#include "base/text.h"

/* Units: their names, and their properties as systemd.resource-control(5) has them. */

bool unit_is_scope(const char *name)
{
	size_t length = strlen(name), suffix = strlen(SCOPE_SUFFIX);

	return strncmp(name, SCOPE_PREFIX, strlen(SCOPE_PREFIX)) == 0 && length > suffix &&
	       streq(name + length - suffix, SCOPE_SUFFIX);
}

int unit_name_of(const struct agent *agent, char ret_name[static GROUP_NAME_MAX])
{
	int n = snprintf(ret_name, GROUP_NAME_MAX, SCOPE_PREFIX "%s-%s" SCOPE_SUFFIX, agent->policy->name, agent->id);

	return n < 0 || n >= GROUP_NAME_MAX ? -ENAMETOOLONG : 0;
}

static bool ends_with(const char *name, size_t length, const char *suffix)
{
	size_t n = strlen(suffix);

	return length > n && strncmp(name + length - n, suffix, n) == 0;
}

/* Slices hold other units; the first that is none is the unit, and what is below it is the unit's own affair. */
int unit_of_path(const char *path, char *ret_unit, char *ret_below, size_t size)
{
	while (*path == '/') {
		size_t length = strcspn(++path, "/");

		if (!ends_with(path, length, ".slice")) {
			/* A name that the kernel could take for one of its own has a `_` in front (cg_escape). */
			size_t skip = *path == '_';

			if (!ends_with(path, length, ".service") && !ends_with(path, length, ".scope"))
				return -ENOENT;
			if (length - skip >= size || strlen(path + length) >= size)
				return -ENAMETOOLONG;
			snprintf(ret_unit, size, "%.*s", (int)(length - skip), path + skip);
			snprintf(ret_below, size, "%s", path + length);
			return 0;
		}
		path += length;
	}
	return -ENOENT;
}

int unit_append_limits(sd_bus_message *message, const struct policy_limits *limits)
{
	/* UINT64_MAX, which UNIT_INFINITY is, is systemd's `infinity`, and for the last two `not set`, too. */
	const struct {
		const char *name;
		uint64_t value;
	} properties[] = {
		{"MemoryHigh", limits->memory_high_bytes},
		{"MemoryMax", limits->memory_max_bytes},
		{"MemorySwapMax", limits->swap_max_bytes},
		{"TasksMax", limits->tasks_max},
		{"CPUWeight", limits->cpu_weight ? limits->cpu_weight : UINT64_MAX},
		/* CPU time in each second: 1 % is 10 ms */
		{"CPUQuotaPerSecUSec", limits->cpu_max_pct ? (uint64_t)limits->cpu_max_pct * 10000 : UINT64_MAX},
	};

	_Static_assert(UNIT_INFINITY == UINT64_MAX, "systemd's infinity");
	for (size_t i = 0; i < ELEMENTSOF(properties); i++) {
		int r = sd_bus_message_append(message, "(sv)", properties[i].name, "t", properties[i].value);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The message is open: properties, sd_bus_message_close_container() and an empty a(sa(sv)) follow. */
int unit_start_scope(struct groups *groups, const char *name, const char *slice, const char *description,
		     sd_bus_message **ret_message)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	int r;

	r = systemd_message(groups, "StartTransientUnit", &message);
	if (r < 0)
		return r;
	r = sd_bus_message_append(message, "ss", name, "fail");
	if (r < 0)
		return r;
	r = sd_bus_message_open_container(message, 'a', "(sv)");
	if (r < 0)
		return r;
	r = sd_bus_message_append(message, "(sv)(sv)(sv)", "Description", "s", description, "Slice", "s", slice,
				  "CollectMode", "s", "inactive-or-failed");
	if (r < 0)
		return r;
	*ret_message = TAKE_PTR(message);
	return 0;
}
