/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVCTL_CONVERT_H
#define GOV_GOVCTL_CONVERT_H

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "base/macro.h"

/* The body of a message as JSON: its value when it has one, else an array of all (null for none). Dictionaries become
 * objects, arrays and structs arrays. */
int convert_message(sd_bus_message *message, json_t **ret_json) _must_check_;

/* A JSON string of any bytes: what isn't UTF-8 is escaped. NULL only for want of memory. */
json_t *convert_string(const char *text);

#endif
