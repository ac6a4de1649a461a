/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVCTL_SHAPE_H
#define GOV_GOVCTL_SHAPE_H

#include <jansson.h>

#include "base/macro.h"

/* The JSON contract: D-Bus leaves out what is missing, the JSON has every promised field, as null. */

struct shape_field {
	const char *name;
	const char *const *inner; /* fields of the object that it is, NULL-terminated; NULL: a plain value */
};

struct shape {
	const struct shape_field *fields;
	size_t n;
};

extern const struct shape shape_status, shape_agent, shape_agent_full, shape_policy, shape_reasons;

/* A new object: the promised fields in their order, then what else govd told. NULL on ENOMEM. */
json_t *shape_fill(const struct shape *shape, const json_t *object);
/* The same for each object of an array. */
json_t *shape_fill_all(const struct shape *shape, const json_t *array);

#endif
