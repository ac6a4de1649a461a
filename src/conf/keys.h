/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CONF_KEYS_H
#define GOV_CONF_KEYS_H

#include <yaml.h>

#include "conf/conf.h"

/* The keys of our files, and the passes over a document that come before libcyaml. Internal to conf. */

enum conf_shape {
	CONF_MAP,
	CONF_SCALAR,
	CONF_LIST,  /* of scalars; one scalar alone is a list of one */
	CONF_PAIRS, /* names of the user's choice, each with a CONF_LIST */
	CONF_LATER, /* a key of the interface that this version doesn't have */
};

struct conf_key {
	const char *path; /* `memory.high` */
	enum conf_shape shape;
	const char *wanted; /* what would be right; NULL for CONF_LATER */
	bool may_be_empty;  /* CONF_LIST */
};

/* What a map holds that is given, also when this key in it isn't. */
struct conf_implied {
	const char *path;
	const char *text; /* as the user would write it; NULL: it must be written */
};

struct conf_keys {
	const struct conf_key *items;
	size_t n;
	const struct conf_implied *implied;
	size_t n_implied;
};

extern const struct conf_keys conf_policy_keys, conf_host_keys;

const struct conf_key *conf_key_find(const struct conf_keys *keys, const char *path);

#define CONF_PATH_MAX 256

/* Where an error is, and where it goes. */
struct conf_context {
	const char *file;
	const struct conf_host *host;
	struct conf_errors *errors;
	size_t n_before; /* errors there were before this file */
	int error;	 /* -ENOMEM and the like; sticky */
};

/* Notes an error; value (NULL: none) is escaped, cut and put in quotes before the message. */
void conf_complain(struct conf_context *context, const char *path, const char *value, const char *format, ...)
	_printf_(4, 5);
bool conf_has_complained(const struct conf_context *context);

/* yaml.c: text -> document. Without anchors, aliases, tags, within limits. -EINVAL: told. */
int conf_yaml_parse(struct conf_context *context, const char *text, size_t length,
		    yaml_document_t *ret_document) _must_check_;

/* shape.c: checks keys and kinds of nodes, tells what is wrong, and writes what is right in the long form that the
 * schema wants: lists are lists, pairs are lists of {name, values}. The caller frees. */
int conf_shape_normalize(struct conf_context *context, yaml_document_t *document, const struct conf_keys *keys,
			 char **ret_text) _must_check_;
/* Also used by dump.c. */
int conf_yaml_emit(yaml_document_t *document, char **ret_text) _must_check_;

/* suggest.c: the word of a list that was probably meant, or NULL. */
const char *conf_suggest(const char *word, const char *const *words, size_t n);

/* file.c: reads a file that people edit. -EINVAL and other errors: told. */
int conf_file_read(struct conf_context *context, char **ret_text, size_t *ret_length) _must_check_;

#endif
