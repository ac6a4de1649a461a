/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "out/recorder_encode.h"

#include <inttypes.h>
#include <jansson.h>
#include <pwd.h>

#include "base/text.h"

/* Worst case of text_utf8: each byte becomes \xNN. */
#define FACT_UTF8_MAX (INCIDENT_FACT_TEXT_MAX * 4)
#define BY_MAX 64

_Static_assert(GOV_INCIDENT_TEXT_MAX > 1024 + AGENT_ID_SIZE + POLICY_NAME_MAX + POLICY_KEY_MAX + BY_MAX,
	       "room for evidence whatever the other strings are");

static json_t *fact_value(const struct incident *incident, const struct fact *fact)
{
	char utf8[FACT_UTF8_MAX];

	if (fact->is_milli)
		return json_real((double)fact->number / 1000.0);
	/* JSON's integers are signed here; what doesn't fit is no count any more. */
	if (fact->is_number)
		return fact->number <= INT64_MAX ? json_integer((json_int_t)fact->number)
						 : json_real((double)fact->number);
	text_utf8(utf8, sizeof(utf8), incident_text(incident, fact));
	return json_string(utf8);
}

/* `ENOENT: No such file or directory` */
static json_t *error_value(int error)
{
	const char *name = strerrorname_np(error), *words = strerrordesc_np(error);

	return name && words ? json_sprintf("%s: %s", name, words) : json_sprintf("errno %d", error);
}

static char *evidence_dump(const struct incident *incident, size_t n_facts)
{
	json_t *object = json_object();
	char *text = NULL;
	int r = object ? 0 : -1;

	for (size_t i = 0; r == 0 && i < n_facts; i++)
		r = json_object_set_new(object, incident->facts[i].name, fact_value(incident, &incident->facts[i]));
	if (r == 0 && incident->error)
		r = json_object_set_new(object, "error", error_value(incident->error));
	if (r == 0 && n_facts < incident->n_facts)
		r = json_object_set_new(object, "cut", json_true());
	if (r == 0)
		text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
	json_decref(object);
	return text;
}

/* As many facts as fit into room bytes; texts of nothing but control characters are six times as long in JSON. */
static char *evidence_make(const struct incident *incident, size_t room)
{
	for (size_t n = MIN2(incident->n_facts, (size_t)INCIDENT_FACTS_MAX);; n--) {
		char *text = evidence_dump(incident, n);

		if (!text || strlen(text) < room || n == 0)
			return text;
		free(text);
	}
}

static void by_name(char *buffer, size_t size, uint32_t uid)
{
	struct passwd entry, *found = NULL;
	char space[4096];

	if (uid == INCIDENT_BY_GOVD)
		text_copy(buffer, size, "govd");
	else if (uid == INCIDENT_BY_KERNEL)
		text_copy(buffer, size, "kernel");
	else if (uid == INCIDENT_BY_OOMD)
		text_copy(buffer, size, "systemd-oomd");
	else if (getpwuid_r(uid, &entry, space, sizeof(space), &found) == 0 && found)
		text_copy(buffer, size, found->pw_name);
	else
		snprintf(buffer, size, "%" PRIu32, uid);
}

static size_t string_put(char *to, size_t room, const char *string)
{
	text_copy(to, room, string);
	return strlen(to) + 1;
}

int recorder_encode(uint64_t time_ms, const struct incident *incident, struct gov_incident_message *message)
{
	_cleanup_free_ char *evidence = NULL;
	char by[BY_MAX];
	const char *head[] = {incident_kind_name(incident->kind), incident->agent, incident->policy, incident->key,
			      incident->rule};
	const char *tail[] = {incident->action, incident->result, by};
	size_t at = 0, tail_size = 0;

	by_name(by, sizeof(by), incident->by_uid);
	for (size_t i = 0; i < ELEMENTSOF(head); i++)
		at += string_put(message->text + at, 256, head[i]);
	for (size_t i = 0; i < ELEMENTSOF(tail); i++)
		tail_size += tail[i] ? strnlen(tail[i], 255) + 1 : 1;
	evidence = evidence_make(incident, GOV_INCIDENT_TEXT_MAX - at - tail_size);
	if (!evidence)
		return -ENOMEM;
	at += string_put(message->text + at, GOV_INCIDENT_TEXT_MAX - at - tail_size, evidence);
	for (size_t i = 0; i < ELEMENTSOF(tail); i++)
		at += string_put(message->text + at, 256, tail[i]);
	message->kind = GOV_INCIDENT_ADD;
	message->version = GOV_INCIDENT_VERSION;
	message->time_ms = time_ms;
	message->written = message->failed = message->keep_s = message->keep_max = 0;
	message->error = 0;
	message->pad = 0;
	message->size = (uint32_t)(GOV_INCIDENT_HEAD_SIZE + at);
	return 0;
}
