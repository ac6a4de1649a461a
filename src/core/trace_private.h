/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_TRACE_PRIVATE_H
#define GOV_CORE_TRACE_PRIVATE_H

#include "core/trace.h"

/* Fields of events and actions: each is a row that says where it is and of which type. Private to core/trace*.c. */

/* What a row's offset counts from. */
enum trace_base { TRACE_EVENT, TRACE_FOUND, TRACE_RESTART };

#define TRACE_ENV_MAX 64
#define TRACE_GIDS_MAX 1024
#define TRACE_ITEMS_MAX 4096 /* STATE_AGENTS_MAX */

struct trace_event {
	struct event event;
	struct agent found;
	struct restart restart;
	uint64_t crashes[RESTART_CRASHES_MAX];
	struct proc_env env[TRACE_ENV_MAX];
	gid_t gids[TRACE_GIDS_MAX];
	struct agent_weight weights[TRACE_ITEMS_MAX];
	struct activity_view activities[TRACE_ITEMS_MAX];
	const struct trace_names *names;
	bool is_known;
	char error[256];
	char line[TRACE_LINE_MAX]; /* cut into words: strings are borrowed from it */
};

struct trace_field {
	const char *name;
	const struct trace_type *type;
	size_t offset, size;
	enum trace_base base;
	bool is_required;
	const char *(*word)(int number); /* of trace_words */
	int n_words;
	const struct trace_items *items; /* of trace_list */
};

struct trace_type {
	/* ` NAME=VALUE`, or nothing when it is as it is when nothing is given. */
	void (*format)(const struct trace_field *field, const void *value, const struct trace_names *names,
		       struct text *text);
	/* false: text is no such value. NULL: not to be read. */
	bool (*parse)(const struct trace_field *field, void *value, const char *name, const char *text,
		      struct trace_event *trace_event);
	bool is_prefix; /* the name goes on behind the field's: `env.` */
};

extern const struct trace_type trace_unsigned, trace_signed, trace_flag, trace_string, trace_chars, trace_agent,
	trace_words, trace_env, trace_gids, trace_crashes, trace_list, trace_facts, trace_by;

struct trace_fields {
	const struct trace_field *items;
	size_t n;
	bool is_told;	  /* actions: written at all */
	bool is_external; /* events */
};

/* Rows of these tables: a field by its type, one that is a number of words, and all fields of an event or action. */
#define TRACE_FIELD(name_, kind, struct_, member, base_)                                                               \
	{                                                                                                              \
		.name = (name_), .type = &trace_##kind, .offset = offsetof(struct struct_, member),                    \
		.size = sizeof(((struct struct_ *)NULL)->member), .base = (base_)                                      \
	}
#define TRACE_WORD(name_, struct_, member, word_, n, base_)                                                            \
	{                                                                                                              \
		.name = (name_), .type = &trace_words, .offset = offsetof(struct struct_, member),                     \
		.size = sizeof(int), .word = (word_), .n_words = (n), .base = (base_)                                  \
	}
#define TRACE_ROWS(fields, external)                                                                                   \
	{                                                                                                              \
		fields, ELEMENTSOF(fields), true, external                                                             \
	}
#define TRACE_NO_ROWS(external)                                                                                        \
	{                                                                                                              \
		NULL, 0, true, external                                                                                \
	}

/* An array that an event points to: where that is, and the room for it. */
struct trace_items {
	struct trace_fields fields;
	size_t size;	       /* of an item */
	size_t items_at, n_at; /* in struct event */
	size_t room_at;	       /* in struct trace_event */
};

extern const struct trace_fields trace_event_fields[EVENT_KINDS];

void trace_format_fields(const struct trace_fields *fields, const void *const bases[], const struct trace_names *names,
			 struct text *text);
/* 0, or -EINVAL, told. Cuts the line into words. */
int trace_parse_fields(const struct trace_fields *fields, void *const bases[], char *line,
		       struct trace_event *trace_event);
/* ` name=` and the value, in quotes when it needs them. */
void trace_format_text(struct text *text, const char *name, const char *value);
/* A number in digits alone, as strtoull(3) is too kind. */
bool trace_parse_number(const char *text, uint64_t max, uint64_t *ret_number);

#endif
