/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"
#include "conf/keys.h"

/*
 * Text -> document by libyaml. A first run over the events counts and refuses, so that the document, which libyaml
 * builds in memory, is small: no alias bomb, no deep nesting, no million nodes.
 */

#define YAML_DEPTH_MAX 8
#define YAML_NODES_MAX 4096

static void parser_start(yaml_parser_t *parser, const char *text, size_t length)
{
	yaml_parser_set_input_string(parser, (const unsigned char *)text, length);
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
}

static void complain_at(struct conf_context *context, size_t line, size_t column, const char *message)
{
	char place[64];

	snprintf(place, sizeof(place), "line %zu, column %zu", line + 1, column + 1);
	conf_complain(context, place, NULL, "%s", message);
}

static void complain_about_bytes(struct conf_context *context, const yaml_parser_t *parser, const char *text,
				 size_t length)
{
	size_t line = 0, column = 0;

	for (size_t i = 0; i < parser->problem_offset && i < length; i++) {
		column = text[i] == '\n' ? 0 : column + 1;
		line += text[i] == '\n';
	}
	complain_at(context, line, column,
		    "a byte that YAML doesn't allow; write the file in UTF-8 without control characters");
}

static int parser_failed(struct conf_context *context, const yaml_parser_t *parser, const char *text, size_t length)
{
	char message[384];

	switch (parser->error) {
	case YAML_MEMORY_ERROR:
		return -ENOMEM;
	case YAML_READER_ERROR:
		complain_about_bytes(context, parser, text, length);
		return -EINVAL;
	default:
		snprintf(message, sizeof(message),
			 "is not YAML: %s%s%s; write `key: value` lines, indented by "
			 "spaces, and put values with special characters (* & ! %% @ { [ : #) in quotes",
			 parser->context ? parser->context : "", parser->context ? ", " : "",
			 parser->problem ? parser->problem : "something is missing");
		complain_at(context, parser->problem_mark.line, parser->problem_mark.column, message);
		return -EINVAL;
	}
}

struct scan {
	size_t depth, nodes, documents;
};

static const unsigned char *event_anchor(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return event->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT:
		return event->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT:
		return event->data.mapping_start.anchor;
	default:
		return NULL;
	}
}

static const unsigned char *event_tag(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return event->data.scalar.tag;
	case YAML_SEQUENCE_START_EVENT:
		return event->data.sequence_start.tag;
	case YAML_MAPPING_START_EVENT:
		return event->data.mapping_start.tag;
	default:
		return NULL;
	}
}

/* What is wrong with an event, or NULL. */
static const char *event_check(struct scan *scan, const yaml_event_t *event)
{
	bool is_start = event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT;
	bool is_end = event->type == YAML_MAPPING_END_EVENT || event->type == YAML_SEQUENCE_END_EVENT;

	if (event->type == YAML_DOCUMENT_START_EVENT && ++scan->documents > 1)
		return "a second document begins here; write one policy a file";
	if (event->type == YAML_ALIAS_EVENT || event_anchor(event))
		return "anchors and aliases (& and *) are not allowed; write the value out, or in quotes if it begins "
		       "with & or *";
	if (event_tag(event))
		return "tags (!) are not allowed; write the value alone, or in quotes if it begins with !";
	scan->depth += is_start;
	scan->depth -= is_end;
	if (scan->depth > YAML_DEPTH_MAX)
		return "is nested too deep; the deepest key has three levels, such as match: {env: {NAME: [a, b]}}";
	scan->nodes += is_start || event->type == YAML_SCALAR_EVENT;
	if (scan->nodes > YAML_NODES_MAX)
		return "has too many values; 4096 are the most";
	if (event->type == YAML_SCALAR_EVENT && strlen((char *)event->data.scalar.value) != event->data.scalar.length)
		return "a NUL byte in a value; no path, argument or variable has one";
	return NULL;
}

/* 1: go on, 0: the end. */
static int scan_next(struct conf_context *context, yaml_parser_t *parser, struct scan *scan, bool *ret_has_failed)
{
	yaml_event_t event;
	const char *wrong;
	bool is_end;

	if (!yaml_parser_parse(parser, &event)) {
		*ret_has_failed = true;
		return 0;
	}
	is_end = event.type == YAML_STREAM_END_EVENT;
	wrong = event_check(scan, &event);
	if (wrong)
		complain_at(context, event.start_mark.line, event.start_mark.column, wrong);
	yaml_event_delete(&event);
	if (wrong)
		return -EINVAL;
	return !is_end;
}

static int yaml_scan(struct conf_context *context, const char *text, size_t length)
{
	struct scan scan = {0};
	yaml_parser_t parser;
	bool has_failed = false;
	int r;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	parser_start(&parser, text, length);
	do
		r = scan_next(context, &parser, &scan, &has_failed);
	while (r > 0);
	if (has_failed)
		r = parser_failed(context, &parser, text, length);
	yaml_parser_delete(&parser);
	return r;
}

int conf_yaml_parse(struct conf_context *context, const char *text, size_t length, yaml_document_t *ret_document)
{
	yaml_parser_t parser;
	int r;

	if (length > CONF_FILE_MAX) {
		conf_complain(context, NULL, NULL, "is larger than %u KiB; split it", CONF_FILE_MAX >> 10);
		return -EFBIG;
	}
	r = yaml_scan(context, text, length);
	if (r < 0)
		return r;
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	parser_start(&parser, text, length);
	r = yaml_parser_load(&parser, ret_document) ? 0 : parser_failed(context, &parser, text, length);
	yaml_parser_delete(&parser);
	return r;
}

/* Grows as libyaml writes. */
struct sink {
	char *bytes;
	size_t length;
};

static int sink_write(void *userdata, unsigned char *buffer, size_t size)
{
	struct sink *sink = userdata;
	char *bytes = realloc(sink->bytes, sink->length + size + 1);

	if (!bytes)
		return 0;
	sink->bytes = bytes;
	memcpy(bytes + sink->length, buffer, size);
	sink->length += size;
	bytes[sink->length] = '\0';
	return 1;
}

int conf_yaml_emit(yaml_document_t *document, char **ret_text)
{
	struct sink sink = {0};
	yaml_emitter_t emitter;
	int ok;

	if (!yaml_emitter_initialize(&emitter)) {
		yaml_document_delete(document);
		return -ENOMEM;
	}
	yaml_emitter_set_output(&emitter, sink_write, &sink);
	yaml_emitter_set_unicode(&emitter, 1);
	yaml_emitter_set_width(&emitter, -1);
	ok = yaml_emitter_open(&emitter);
	/* yaml_emitter_dump() deletes the document, also when it fails. */
	if (ok)
		ok = yaml_emitter_dump(&emitter, document) && yaml_emitter_close(&emitter);
	else
		yaml_document_delete(document);
	yaml_emitter_delete(&emitter);
	if (!ok || !sink.bytes) {
		free(sink.bytes);
		return -ENOMEM;
	}
	*ret_text = sink.bytes;
	return 0;
}
