/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/incident.h"

#include "base/text.h"

const char *incident_kind_name(enum incident_kind kind)
{
	static const char *const names[INCIDENT_KINDS] = {
		[INCIDENT_PLACED] = "placed",	[INCIDENT_RELEASED] = "released",   [INCIDENT_STOPPED] = "stopped",
		[INCIDENT_LOST] = "lost",	[INCIDENT_PROTECTED] = "protected", [INCIDENT_ALERT] = "alert",
		[INCIDENT_REFUSED] = "refused", [INCIDENT_STORM] = "storm",	    [INCIDENT_BREAKER] = "breaker",
		[INCIDENT_SOCKETS] = "sockets",
	};

	return (unsigned)kind < INCIDENT_KINDS ? names[kind] : "unknown";
}

static struct fact *incident_add(struct incident *incident, const char *name)
{
	struct fact *fact;

	if (incident->n_facts >= INCIDENT_FACTS_MAX)
		return NULL;
	fact = &incident->facts[incident->n_facts++];
	*fact = (struct fact){.name = name};
	return fact;
}

void incident_add_number(struct incident *incident, const char *name, uint64_t number)
{
	struct fact *fact = incident_add(incident, name);

	if (!fact)
		return;
	fact->is_number = true;
	fact->number = number;
}

void incident_add_milli(struct incident *incident, const char *name, uint64_t milli)
{
	incident_add_number(incident, name, milli);
	if (incident->n_facts && incident->facts[incident->n_facts - 1].name == name)
		incident->facts[incident->n_facts - 1].is_milli = true;
}

void incident_add_text(struct incident *incident, const char *name, const char *text)
{
	struct fact *fact = incident_add(incident, name);

	if (fact)
		text_copy(fact->text, sizeof(fact->text), text);
}
