/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_OUT_RECORDER_ENCODE_H
#define GOV_OUT_RECORDER_ENCODE_H

#include "core/incident.h"
#include "gov/incident.h"

/* The ADD of an incident; message->size says how many bytes of it are to be sent. 0 or -ENOMEM. */
int recorder_encode(uint64_t time_ms, const struct incident *incident,
		    struct gov_incident_message *message) _must_check_;

#endif
