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

static void write_policy(struct manager *manager, struct bus_writer *writer, const struct policy *policy)
{
	bool observes = manager->options.observe || policy->mode == POLICY_OBSERVE;

	bus_begin_dict(writer, NULL);
	bus_write_string(writer, "name", policy->name);
	bus_write_string(writer, "file", policy->file);
	bus_write_string(writer, "mode", observes ? "observe" : "enforce");
	bus_write_u64(writer, "agents", count_agents(manager, policy->name));
	bus_write_string(writer, "state", cull_is_suspended(manager->state, policy) ? "suspended" : "loaded");
	bus_end(writer);
}

/* A file that could not be loaded: by its error line, `file: path: words`. */
static void write_bad_policy(struct bus_writer *writer, const char *line)
{
	const char *colon = strchr(line, ':');
	char file[512];

	snprintf(file, sizeof(file), "%.*s", (int)(colon ? colon - line : 0), line);
	bus_begin_dict(writer, NULL);
	bus_write_string(writer, "name", text_basename(file));
	bus_write_string(writer, "file", file);
	bus_write_string(writer, "state", "error");
	bus_write_string(writer, "error", line);
	bus_end(writer);
}

int call_list_policies(sd_bus_message *reply, void *userdata)
{
	struct bus_writer writer = {.message = reply};
	struct manager *manager = userdata;

	bus_begin_list(&writer, NULL);
	for (size_t i = 0; i < manager->policies->n; i++)
		write_policy(manager, &writer, manager->policies->policies[i]);
	for (size_t i = 0; i < manager->policy_errors.n; i++)
		write_bad_policy(&writer, manager->policy_errors.lines[i]);
	bus_end(&writer);
	return writer.error;
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
	struct bus_writer writer = {.message = reply};
	struct manager *manager = userdata;
	int r;

	r = manager_load_policies(manager);
	if (r < 0)
		return sd_bus_error_setf(error, GOV_ERROR_FAILED, "the policies can't be loaded: %s", strerror(-r));
	bus_begin_dict(&writer, NULL);
	bus_write_u64(&writer, "policies", manager->policies->n);
	bus_write_strings(&writer, "errors", manager->policy_errors.lines, manager->policy_errors.n);
	bus_end(&writer);
	return writer.error;
}
