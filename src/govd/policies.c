/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include "base/text.h"

/* What govctl asks of policies. */

static size_t count_agents(const struct manager *manager, const char *policy)
{
	const struct agent *agent;
	size_t cursor = 0, n = 0;

	while ((agent = state_agent_next(manager->state, &cursor)))
		n += streq(agent->policy->name, policy);
	return n;
}

static int add_policy(struct manager *manager, sd_bus_message *m, const struct policy *policy)
{
	bool observes = manager->options.observe || policy->mode == POLICY_OBSERVE;
	int r;

	r = sd_bus_message_open_container(m, 'a', "{sv}");
	if (r < 0)
		return r;
	r = bus_add_string(m, "name", policy->name);
	if (r < 0)
		return r;
	r = bus_add_string(m, "file", policy->file);
	if (r < 0)
		return r;
	r = bus_add_string(m, "mode", observes ? "observe" : "enforce");
	if (r < 0)
		return r;
	r = bus_add_u64(m, "agents", count_agents(manager, policy->name));
	if (r < 0)
		return r;
	r = bus_add_string(m, "state", "loaded");
	if (r < 0)
		return r;
	return sd_bus_message_close_container(m);
}

/* A file that could not be loaded: by its error line, `file: path: words`. */
static int add_bad_policy(sd_bus_message *m, const char *line)
{
	const char *colon = strchr(line, ':');
	char file[512];
	int r;

	snprintf(file, sizeof(file), "%.*s", (int)(colon ? colon - line : 0), line);
	r = sd_bus_message_open_container(m, 'a', "{sv}");
	if (r < 0)
		return r;
	r = bus_add_string(m, "name", text_basename(file));
	if (r < 0)
		return r;
	r = bus_add_string(m, "file", file);
	if (r < 0)
		return r;
	r = bus_add_string(m, "state", "error");
	if (r < 0)
		return r;
	r = bus_add_string(m, "error", line);
	if (r < 0)
		return r;
	return sd_bus_message_close_container(m);
}

int call_list_policies(sd_bus_message *reply, void *userdata)
{
	struct manager *manager = userdata;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "a{sv}");
	if (r < 0)
		return r;
	for (size_t i = 0; i < manager->policies->n; i++) {
		r = add_policy(manager, reply, manager->policies->policies[i]);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < manager->policy_errors.n; i++) {
		r = add_bad_policy(reply, manager->policy_errors.lines[i]);
		if (r < 0)
			return r;
	}
	return sd_bus_message_close_container(reply);
}

int call_show_policy(sd_bus_message *reply, const char *name, sd_bus_error *error, void *userdata)
{
	struct manager *manager = userdata;
	const struct policy *policy = policy_set_find(manager->policies, name);
	_cleanup_free_ char *text = NULL;
	int r;

	if (!policy)
		return sd_bus_error_setf(error, GOV_ERROR_NO_SUCH_POLICY,
					 "there is no policy %s: `govctl policy list` shows those in force", name);
	r = conf_policy_dump(policy, &text);
	if (r < 0)
		return r;
	return sd_bus_message_append(reply, "s", text);
}

int call_reload(sd_bus_message *reply, sd_bus_error *error, void *userdata)
{
	struct manager *manager = userdata;
	int r;

	r = manager_load_policies(manager);
	if (r < 0)
		return sd_bus_error_setf(error, GOV_ERROR_FAILED, "the policies can't be loaded: %s", strerror(-r));
	r = sd_bus_message_open_container(reply, 'a', "{sv}");
	if (r < 0)
		return r;
	r = bus_add_u64(reply, "policies", manager->policies->n);
	if (r < 0)
		return r;
	r = sd_bus_message_open_container(reply, 'e', "sv");
	if (r < 0)
		return r;
	r = sd_bus_message_append(reply, "s", "errors");
	if (r < 0)
		return r;
	r = sd_bus_message_open_container(reply, 'v', "as");
	if (r < 0)
		return r;
	r = sd_bus_message_open_container(reply, 'a', "s");
	for (size_t i = 0; r >= 0 && i < manager->policy_errors.n; i++)
		r = sd_bus_message_append(reply, "s", manager->policy_errors.lines[i]);
	for (int i = 0; r >= 0 && i < 4; i++) /* as, v, e, a{sv} */
		r = sd_bus_message_close_container(reply);
	return r;
}
