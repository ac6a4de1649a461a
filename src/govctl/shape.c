/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shape.h"

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SHAPE(array)                                                                                                   \
	{                                                                                                              \
		.fields = (array), .n = ELEMENTSOF(array)                                                              \
	}

static const struct shape_field status_fields[] = {
	{"version", NULL},
	{"backend", NULL},
	{"mode", NULL},
	{"kernel", NULL},
	{"policies", NULL},
	{"pacing", NULL},
	{"agents", FIELDS("total", "held", "frozen")},
	{"emergency", FIELDS("state", "available_bytes", "full_pct", "kills")},
	{"connects", FIELDS("total", "delayed", "refused")},
	{"events", FIELDS("received", "lost", "resyncs")},
	{"incidents", NULL},
	{"log", FIELDS("emitted", "dropped")},
};

#define AGENT_FIELDS                                                                                                   \
	{"id", NULL}, {"policy", NULL}, {"key", NULL}, {"pid", NULL}, {"state", NULL}, {"since_s", NULL},              \
		{"idle_s", NULL}, {"memory_bytes", NULL}, {"memory_max_bytes", NULL}, {"cpu_s", NULL},                 \
		{"tasks", NULL}, {"sockets", NULL}, {"connects", NULL}, {"delayed", NULL}, {"refused", NULL},          \
	{                                                                                                              \
		"cgroup", NULL                                                                                         \
	}

static const struct shape_field agent_fields[] = {AGENT_FIELDS};
static const struct shape_field agent_full_fields[] = {
	AGENT_FIELDS,
	{"limits", NULL},
	{"tools", NULL},
	{"destinations", NULL},
	{"next", FIELDS("action", "in_s")},
	{"incidents", NULL},
	{"abandoned", NULL},
	{"leak", FIELDS("slope_bytes_per_s", "reaches_max_in_s")},
	{"pressure", FIELDS("some_pct", "full_pct", "rung")},
};
static const struct shape_field policy_fields[] = {
	{"name", NULL}, {"file", NULL}, {"mode", NULL}, {"agents", NULL}, {"state", NULL}, {"error", NULL},
};

static const struct shape_field reasons_fields[] = {{"pid", NULL}, {"policy", NULL}, {"policies", NULL}};

const struct shape shape_reasons = SHAPE(reasons_fields);
const struct shape shape_status = SHAPE(status_fields);
const struct shape shape_agent = SHAPE(agent_fields);
const struct shape shape_agent_full = SHAPE(agent_full_fields);
const struct shape shape_policy = SHAPE(policy_fields);

static json_t *fill_inner(const char *const *inner, const json_t *value)
{
	json_t *object = json_object();

	for (; object && *inner; inner++) {
		json_t *field = json_object_get(value, *inner);

		json_object_set_new(object, *inner, field ? json_incref(field) : json_null());
	}
	if (object && value)
		json_object_update_missing(object, (json_t *)value);
	return object;
}

json_t *shape_fill(const struct shape *shape, const json_t *object)
{
	json_t *filled = json_object();

	for (size_t i = 0; filled && i < shape->n; i++) {
		const struct shape_field *field = &shape->fields[i];
		json_t *value = json_object_get(object, field->name);

		if (field->inner && (!value || json_is_object(value)))
			json_object_set_new(filled, field->name, fill_inner(field->inner, value));
		else
			json_object_set_new(filled, field->name, value ? json_incref(value) : json_null());
	}
	if (filled && json_is_object(object))
		json_object_update_missing(filled, (json_t *)object);
	return filled;
}

json_t *shape_fill_all(const struct shape *shape, const json_t *array)
{
	json_t *filled = json_array();
	json_t *object;
	size_t i;

	json_array_foreach((json_t *)array, i, object) if (filled)
		json_array_append_new(filled, shape_fill(shape, object));
	return filled;
}
