/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/schema.h"

#include <cyaml/cyaml.h>

#define TEXT_FIELD(key, type, member)                                                                                  \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 0, CYAML_UNLIMITED)
#define LIST_FIELD(key, type, member)                                                                                  \
	CYAML_FIELD_SEQUENCE_COUNT(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member.items, member.n,        \
				   &string_schema, 0, CYAML_UNLIMITED)
#define MAP_FIELD(key, type, member, fields) CYAML_FIELD_MAPPING(key, CYAML_FLAG_OPTIONAL, type, member, fields)

static const cyaml_schema_value_t string_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

static const cyaml_schema_field_t pair_fields[] = {
	TEXT_FIELD("name", struct conf_pair_text, name),
	LIST_FIELD("values", struct conf_pair_text, values),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t pair_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct conf_pair_text, pair_fields),
};

static const cyaml_schema_field_t match_fields[] = {
	LIST_FIELD("exe", struct conf_match_text, exe),
	LIST_FIELD("script", struct conf_match_text, script),
	LIST_FIELD("args", struct conf_match_text, args),
	CYAML_FIELD_SEQUENCE_COUNT("env", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct conf_match_text, env, n_env,
				   &pair_schema, 0, CYAML_UNLIMITED),
	LIST_FIELD("user", struct conf_match_text, user),
	LIST_FIELD("cgroup", struct conf_match_text, cgroup),
	LIST_FIELD("parent", struct conf_match_text, parent),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t key_fields[] = {
	TEXT_FIELD("args", struct conf_key_text, args),
	TEXT_FIELD("env", struct conf_key_text, env),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t allow_fields[] = {
	LIST_FIELD("users", struct conf_allow_text, users),
	LIST_FIELD("groups", struct conf_allow_text, groups),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t memory_fields[] = {
	TEXT_FIELD("high", struct conf_memory_text, high),
	TEXT_FIELD("max", struct conf_memory_text, max),
	TEXT_FIELD("swap_max", struct conf_memory_text, swap_max),
	TEXT_FIELD("on_oom", struct conf_memory_text, on_oom),
	TEXT_FIELD("on_pressure", struct conf_memory_text, on_pressure),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t cpu_fields[] = {
	TEXT_FIELD("weight", struct conf_cpu_text, weight),
	TEXT_FIELD("max", struct conf_cpu_text, max),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t tasks_fields[] = {
	TEXT_FIELD("max", struct conf_tasks_text, max),
	TEXT_FIELD("spawn_rate", struct conf_tasks_text, spawn_rate),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t tools_fields[] = {
	TEXT_FIELD("memory_max", struct conf_tools_text, memory_max),
	TEXT_FIELD("max_runtime", struct conf_tools_text, max_runtime),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t connect_fields[] = {
	TEXT_FIELD("rate", struct conf_connect_text, rate),
	TEXT_FIELD("burst", struct conf_connect_text, burst),
	TEXT_FIELD("per", struct conf_connect_text, per),
	TEXT_FIELD("max_delay", struct conf_connect_text, max_delay),
	TEXT_FIELD("on_excess", struct conf_connect_text, on_excess),
	TEXT_FIELD("udp", struct conf_connect_text, udp),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t breaker_fields[] = {
	TEXT_FIELD("failures", struct conf_breaker_text, failures),
	TEXT_FIELD("factor", struct conf_breaker_text, factor),
	TEXT_FIELD("max_interval", struct conf_breaker_text, max_interval),
	TEXT_FIELD("stable_after", struct conf_breaker_text, stable_after),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t sockets_fields[] = {
	TEXT_FIELD("max", struct conf_sockets_text, max),
	TEXT_FIELD("new_rate", struct conf_sockets_text, new_rate),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t leak_fields[] = {
	TEXT_FIELD("horizon", struct conf_leak_text, horizon),
	TEXT_FIELD("action", struct conf_leak_text, action),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t restart_fields[] = {
	TEXT_FIELD("min_uptime", struct conf_restart_text, min_uptime),
	TEXT_FIELD("delay", struct conf_restart_text, delay),
	TEXT_FIELD("factor", struct conf_restart_text, factor),
	TEXT_FIELD("max_delay", struct conf_restart_text, max_delay),
	TEXT_FIELD("limit", struct conf_restart_text, limit),
	TEXT_FIELD("window", struct conf_restart_text, window),
	TEXT_FIELD("on_limit", struct conf_restart_text, on_limit),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t lifecycle_fields[] = {
	TEXT_FIELD("idle", struct conf_lifecycle_text, idle),
	TEXT_FIELD("idle_cpu", struct conf_lifecycle_text, idle_cpu),
	TEXT_FIELD("idle_io", struct conf_lifecycle_text, idle_io),
	TEXT_FIELD("idle_net", struct conf_lifecycle_text, idle_net),
	TEXT_FIELD("idle_connects", struct conf_lifecycle_text, idle_connects),
	TEXT_FIELD("idle_spawns", struct conf_lifecycle_text, idle_spawns),
	TEXT_FIELD("max_runtime", struct conf_lifecycle_text, max_runtime),
	TEXT_FIELD("orphan", struct conf_lifecycle_text, orphan),
	TEXT_FIELD("max_agents", struct conf_lifecycle_text, max_agents),
	TEXT_FIELD("per_key", struct conf_lifecycle_text, per_key),
	TEXT_FIELD("on_duplicate", struct conf_lifecycle_text, on_duplicate),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t hung_fields[] = {
	TEXT_FIELD("after", struct conf_hung_text, after),
	TEXT_FIELD("action", struct conf_hung_text, action),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t stop_fields[] = {
	TEXT_FIELD("signal", struct conf_stop_text, signal),
	TEXT_FIELD("grace", struct conf_stop_text, grace),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t policy_fields[] = {
	MAP_FIELD("match", struct conf_policy_text, match, match_fields),
	MAP_FIELD("key", struct conf_policy_text, key, key_fields),
	TEXT_FIELD("mode", struct conf_policy_text, mode),
	TEXT_FIELD("hold", struct conf_policy_text, hold),
	TEXT_FIELD("placement", struct conf_policy_text, placement),
	MAP_FIELD("allow", struct conf_policy_text, allow, allow_fields),
	MAP_FIELD("memory", struct conf_policy_text, memory, memory_fields),
	MAP_FIELD("cpu", struct conf_policy_text, cpu, cpu_fields),
	MAP_FIELD("tasks", struct conf_policy_text, tasks, tasks_fields),
	MAP_FIELD("tools", struct conf_policy_text, tools, tools_fields),
	MAP_FIELD("connect", struct conf_policy_text, connect, connect_fields),
	MAP_FIELD("breaker", struct conf_policy_text, breaker, breaker_fields),
	MAP_FIELD("sockets", struct conf_policy_text, sockets, sockets_fields),
	MAP_FIELD("restart", struct conf_policy_text, restart, restart_fields),
	MAP_FIELD("lifecycle", struct conf_policy_text, lifecycle, lifecycle_fields),
	MAP_FIELD("hung", struct conf_policy_text, hung, hung_fields),
	MAP_FIELD("leak", struct conf_policy_text, leak, leak_fields),
	MAP_FIELD("stop", struct conf_policy_text, stop, stop_fields),
	TEXT_FIELD("bulk", struct conf_policy_text, bulk),
	TEXT_FIELD("priority", struct conf_policy_text, priority),
	TEXT_FIELD("protect", struct conf_policy_text, protect),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t emergency_fields[] = {
	TEXT_FIELD("memory_available", struct conf_emergency_text, memory_available),
	TEXT_FIELD("pressure_full", struct conf_emergency_text, pressure_full),
	TEXT_FIELD("for", struct conf_emergency_text, lasting),
	TEXT_FIELD("kills_per_min", struct conf_emergency_text, kills_per_min),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t incidents_fields[] = {
	TEXT_FIELD("keep", struct conf_incidents_text, keep),
	TEXT_FIELD("max", struct conf_incidents_text, max),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t host_fields[] = {
	MAP_FIELD("emergency", struct conf_host_text, emergency, emergency_fields),
	MAP_FIELD("incidents", struct conf_host_text, incidents, incidents_fields),
	TEXT_FIELD("watch_strangers", struct conf_host_text, watch_strangers),
	TEXT_FIELD("drain_on_stop", struct conf_host_text, drain_on_stop),
	LIST_FIELD("protect", struct conf_host_text, protect),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t policy_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct conf_policy_text, policy_fields),
};

static const cyaml_schema_value_t host_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct conf_host_text, host_fields),
};

/* Without a log function: what libcyaml has to say is for programmers. */
static const cyaml_config_t config = {.mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};

/* What is loaded, by which table and schema. */
struct file_kind {
	const struct conf_keys *keys;
	const cyaml_schema_value_t *schema;
};

static const struct file_kind policy_kind = {&conf_policy_keys, &policy_schema};
static const struct file_kind host_kind = {&conf_host_keys, &host_schema};

/* document -> what the schema says; deletes document. */
static int document_load(struct conf_context *context, yaml_document_t *document, const struct file_kind *kind,
			 void **ret_loaded)
{
	_cleanup_free_ char *normal = NULL;
	cyaml_err_t error;
	int r;

	r = conf_shape_normalize(context, document, kind->keys, &normal);
	yaml_document_delete(document);
	if (r < 0)
		return r;
	error = cyaml_load_data((const uint8_t *)normal, strlen(normal), &config, kind->schema, ret_loaded, NULL);
	if (error == CYAML_OK)
		return 0;
	if (error == CYAML_ERR_OOM)
		return -ENOMEM;
	/* Table and schema disagree. */
	conf_complain(context, NULL, NULL, "govd can't load this although it looks right; please report it as a bug");
	return -EINVAL;
}

int conf_policy_text_load(struct conf_context *context, const char *text, size_t length,
			  struct conf_policy_text **ret_loaded)
{
	yaml_document_t document;
	void *loaded = NULL;
	int r = conf_yaml_parse(context, text, length, &document);

	if (r == 0)
		r = document_load(context, &document, &policy_kind, &loaded);
	if (r == 0)
		*ret_loaded = loaded;
	return r;
}

int conf_host_text_load(struct conf_context *context, const char *text, size_t length,
			struct conf_host_text **ret_loaded)
{
	yaml_document_t document;
	void *loaded = NULL;
	int r = conf_yaml_parse(context, text, length, &document);

	if (r == 0)
		r = document_load(context, &document, &host_kind, &loaded);
	if (r == 0)
		*ret_loaded = loaded;
	return r;
}

struct conf_policy_text *conf_policy_text_free(struct conf_policy_text *loaded)
{
	cyaml_free(&config, &policy_schema, loaded, 0);
	return NULL;
}

struct conf_host_text *conf_host_text_free(struct conf_host_text *loaded)
{
	cyaml_free(&config, &host_schema, loaded, 0);
	return NULL;
}
