/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/incident.h"

#include "base/text.h"

const char *incident_kind_name(enum incident_kind kind)
{
	static const char *const names[INCIDENT_KINDS] = {
		[INCIDENT_PLACED] = "placed",
		[INCIDENT_RELEASED] = "released",
		[INCIDENT_STOPPED] = "stopped",
		[INCIDENT_LOST] = "lost",
		[INCIDENT_PROTECTED] = "protected",
		[INCIDENT_ALERT] = "alert",
		[INCIDENT_REFUSED] = "refused",
		[INCIDENT_STORM] = "storm",
		[INCIDENT_BREAKER] = "breaker",
		[INCIDENT_SOCKETS] = "sockets",
		[INCIDENT_OOM] = "oom",
		[INCIDENT_LEAK] = "leak",
		[INCIDENT_PRESSURE] = "pressure",
		[INCIDENT_EXPIRED] = "expired",
		[INCIDENT_EMERGENCY] = "emergency",
		[INCIDENT_RESTART_DELAY] = "restart-delay",
		[INCIDENT_RESTART_LIMIT] = "restart-limit",
		[INCIDENT_ORPHAN] = "orphan",
		[INCIDENT_DUPLICATE] = "duplicate",
		[INCIDENT_FAN_OUT] = "fan-out",
		[INCIDENT_IDLE] = "idle",
		[INCIDENT_HUNG] = "hung",
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
	size_t room = sizeof(incident->texts) - incident->texts_used;
	char *to = incident->texts + incident->texts_used;
	struct fact *fact = room ? incident_add(incident, name) : NULL;

	if (!fact)
		return;
	text_copy(to, MIN2(room, (size_t)INCIDENT_FACT_TEXT_MAX), text);
	fact->text_at = (uint16_t)incident->texts_used;
	incident->texts_used += strlen(to) + 1;
}

void incident_add_exit(struct incident *incident, int32_t exit_code)
{
	incident_add_number(incident, "exit_code", (uint64_t)(exit_code >> 8 & 0xff));
	incident_add_number(incident, "exit_signal", (uint64_t)(exit_code & 0x7f));
}

void told_add(struct told *told, struct incident *incident)
{
	if (told->untold)
		incident_add_number(incident, "untold", told->untold);
	told->untold = 0;
}

const char *incident_text(const struct incident *incident, const struct fact *fact)
{
	return fact->is_number ? "" : incident->texts + fact->text_at;
}
