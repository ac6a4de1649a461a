/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <limits.h>

#include "base/log.h"
#include "govd/check.h"

/* Policies, from their directories into the core, the kernel's candidates and govd-hold: all of a set, or nothing of
 * it. */

static int set_candidates(struct manager *manager, const struct policy_set *set)
{
	char **names;
	size_t n;
	int r;

	r = conf_candidates(set, &names, &n);
	if (r < 0)
		return r;
	r = bpf_sense_set_candidates(manager->bpf, (const char *const *)names, n);
	conf_names_free(names, n);
	return r;
}

static bool set_wants_parent(const struct policy_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->policies[i]->match.parent.n)
			return true;
	return false;
}

static void take_set(struct manager *manager, struct policy_set *set)
{
	struct event event = {.kind = EVENT_POLICIES};
	struct policy_set *old = manager->policies;

	manager->policies = set;
	procfs_set_env_names(manager->procfs, set->env_names, set->n_env_names);
	procfs_set_parent_wanted(manager->procfs, set_wants_parent(set));
	recorder_set_keep(manager->recorder, set->host.incidents_keep_ns, set->host.incidents_max);
	if (connects_set_config(manager, set->host.watch_strangers) < 0)
		manager->counts.actions_failed++;
	event.policies.set = set;
	event.policies.observe = manager->options.observe;
	manager_dispatch(manager, &event);
	policy_set_unref(old);
	emergency_reload(manager);
	/* The holds come after the core knows the set: who asks is answered by it. */
	if (manager->hold && hold_set_policies(manager->hold, set) < 0)
		log_warning("govd-hold can't watch the policies' files: agents are caught by their exec");
}

int manager_load_policies(struct manager *manager)
{
	struct conf_errors errors = {0};
	struct policy_set *set = NULL;
	char host_file[PATH_MAX];
	const struct conf_source source = {.dirs = manager->options.policy_dirs,
					   .n_dirs = manager->options.n_policy_dirs,
					   .host_file = host_file,
					   .host = &manager->host,
					   .previous = manager->policies};
	int r;

	check_host_config_path(&manager->options, host_file, sizeof(host_file));
	r = conf_load_all(&source, &set, &errors);
	for (size_t i = 0; i < errors.n; i++)
		log_warning("%s", errors.lines[i]);
	if (r < 0) {
		log_err("can't load the policies: %s", strerror(-r));
		conf_errors_done(&errors);
		return r;
	}
	conf_errors_done(&manager->policy_errors);
	manager->policy_errors = errors;
	r = set_candidates(manager, set);
	if (r < 0) {
		log_err("can't tell the kernel what to look for: %s", strerror(-r));
		policy_set_unref(set);
		return r;
	}
	take_set(manager, set);
	log_info("%zu policies in force", set->n);
	return 0;
}
