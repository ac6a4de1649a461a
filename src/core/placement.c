/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/placement.h"

#include <limits.h>

#include "core/glob.h"

/*
 * Whose a process is. The names are systemd's (systemd.unit(5), user@.service(5),
 * https://systemd.io/DESKTOP_ENVIRONMENTS) and those that container runtimes give to the groups that they make, with
 * systemd or without.
 */

/* A part of the path that only a container runtime makes: with what is below it, also in a user's session. */
static const char *const containers[] = {
	"docker-*.scope",	    "docker",	       "libpod-*", "libpod_parent",  "crio-*.scope",  "crio-*",
	"cri-containerd-*",	    "nerdctl-*.scope", "kubepods", "kubepods.slice", "kubepods-*",    "machine.slice",
	"machine-*.scope",	    "machine.*.scope", "lxc",	   "lxc.payload",    "lxc.payload.*", "lxc.payload-*",
	"systemd-nspawn@*.service",
};

/* Services in which people's shells are: getty's where nothing makes sessions, sshd's without pam_systemd. */
static const char *const shells[] = {
	"getty@*.service",
	"serial-getty@*.service",
	"container-getty@*.service",
	"console-getty.service",
	"ssh.service",
	"ssh@*.service",
	"sshd.service",
	"sshd@*.service",
	"rescue.service",
	"emergency.service",
	"debug-shell.service",
};

/* A component of a path; a name that the kernel could take for one of its own has a `_` in front (cg_escape). */
struct component {
	char name[NAME_MAX + 1];
};

static const char *component_next(const char *path, struct component *ret)
{
	size_t length;

	path += strspn(path, "/");
	length = strcspn(path, "/");
	if (!length || length > NAME_MAX)
		return NULL;
	memcpy(ret->name, path, length);
	ret->name[length] = '\0';
	return path + length;
}

static const char *component_unit(const struct component *component)
{
	return component->name + (component->name[0] == '_');
}

static bool is_one_of(const char *name, const char *const *globs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (glob_match_text(globs[i], name))
			return true;
	return false;
}

static bool is_like(const char *name, const char *glob)
{
	return glob_match_text(glob, name);
}

static bool is_in_container(const char *path)
{
	struct component component;

	while ((path = component_next(path, &component)))
		if (is_one_of(component_unit(&component), containers, ELEMENTSOF(containers)))
			return true;
	return false;
}

/* Of the path below user@UID.service: the units of the user's own manager. */
static enum cgroup_owner owner_in_session(const char *path)
{
	struct component component;

	while ((path = component_next(path, &component))) {
		const char *unit = component_unit(&component);

		/* A desktop's applications, terminals among them. */
		if (is_like(unit, "app-*.service"))
			return OWNER_NONE;
		if (is_like(unit, "*.service") || streq(unit, "init.scope"))
			return OWNER_SERVICE;
		if (is_like(unit, "*.scope"))
			return OWNER_NONE;
	}
	return OWNER_SERVICE;
}

enum cgroup_owner placement_owner(const char *cgroup)
{
	struct component component;
	const char *path = cgroup;

	if (is_in_container(path))
		return OWNER_CONTAINER;
	/* Slices hold other units; the first that is none is the unit, and what is below it is its own affair. */
	while ((path = component_next(path, &component))) {
		const char *unit = component_unit(&component);

		if (is_like(unit, "user@*.service"))
			return owner_in_session(path);
		if (is_one_of(unit, shells, ELEMENTSOF(shells)))
			return OWNER_NONE;
		if (is_like(unit, "*.service") || streq(unit, "init.scope"))
			return OWNER_SERVICE;
		if (is_like(unit, "*.scope"))
			return OWNER_NONE;
	}
	return OWNER_NONE;
}

enum cgroup_owner placement_owner_of_origin(const char *origin, const char *cgroup)
{
	const char *name = strrchr(cgroup, '/');
	size_t slice = name ? (size_t)(name - cgroup) : 0;
	char path[AGENT_CGROUP_MAX];

	/* `v2=PATH;...`, see act/layout.h. */
	if (strncmp(origin, "v2=", 3) != 0)
		return OWNER_NONE;
	snprintf(path, sizeof(path), "%.*s", (int)strcspn(origin + 3, ";"), origin + 3);
	/* Another agent's group: it was there by our doing. */
	if (slice && strncmp(path, cgroup, slice) == 0 && path[slice] == '/')
		return OWNER_NONE;
	return placement_owner(path);
}

const char *owner_name(enum cgroup_owner owner)
{
	static const char *const names[] = {
		[OWNER_NONE] = "none", [OWNER_SERVICE] = "service", [OWNER_CONTAINER] = "container"};

	return names[owner];
}

const char *placement_name(enum policy_placement placement)
{
	static const char *const names[] = {[POLICY_PLACEMENT_AUTO] = "auto",
					    [POLICY_PLACEMENT_SCOPE] = "scope",
					    [POLICY_PLACEMENT_NESTED] = "nested",
					    [POLICY_PLACEMENT_NONE] = "none"};

	return names[placement];
}

enum policy_placement placement_choose(const struct policy *policy, enum cgroup_owner owner, bool is_explicit)
{
	if (policy->placement != POLICY_PLACEMENT_AUTO)
		return policy->placement;
	return owner == OWNER_NONE || is_explicit ? POLICY_PLACEMENT_SCOPE : POLICY_PLACEMENT_NONE;
}

const char *placement_reason(const struct policy *policy, enum cgroup_owner owner, bool is_explicit)
{
	if (policy->placement != POLICY_PLACEMENT_AUTO)
		return "its policy says so";
	if (is_explicit)
		return "it was asked for by name, with govctl run or adopt";
	if (owner == OWNER_SERVICE)
		return "a service manager runs it as a service, which `placement: auto` leaves where it is: write "
		       "`placement: scope` to have it moved";
	if (owner == OWNER_CONTAINER)
		return "a container runtime owns it, which `placement: auto` leaves where it is: write `placement: "
		       "scope` to have it moved";
	return "no service manager and no container runtime owns it";
}
