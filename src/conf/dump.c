/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/value.h"

/* Policy, or the host's configuration -> YAML, along the table of keys. libyaml quotes what needs it. All adders: a
 * node's id, 0: nothing, -ENOMEM.
 */

struct dump {
	const struct policy *policy; /* NULL: of the host's configuration */
	const char *base;	     /* where the values are */
	const struct conf_keys *keys;
	const struct conf_lists *lists;
	const struct conf_values *values;
	yaml_document_t document;
	int root, map;	  /* map: of the key that was last a CONF_MAP; made when something is put into it */
	const char *name; /* of map */
};

static int add_text(struct dump *dump, const char *text)
{
	yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;
	int id;

	/* What would be read as nothing. libyaml itself finds all else that needs quotes. */
	if (!*text || streq(text, "~") || strcasecmp(text, "null") == 0)
		style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	id = yaml_document_add_scalar(&dump->document, NULL, (const unsigned char *)text, (int)strlen(text), style);
	return id > 0 ? id : -ENOMEM;
}

static int add_list(struct dump *dump, char *const *items, size_t n)
{
	int list = yaml_document_add_sequence(&dump->document, NULL, YAML_BLOCK_SEQUENCE_STYLE);

	if (list <= 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int item = add_text(dump, items[i]);

		if (item < 0 || !yaml_document_append_sequence_item(&dump->document, list, item))
			return -ENOMEM;
	}
	return list;
}

static int put(struct dump *dump, int map, const char *name, int value)
{
	int key;

	if (value <= 0)
		return value;
	key = add_text(dump, name);
	if (key < 0)
		return key;
	return yaml_document_append_mapping_pair(&dump->document, map, key, value) ? 0 : -ENOMEM;
}

static int add_env(struct dump *dump)
{
	const struct policy_match *match = &dump->policy->match;
	int map;

	if (!match->n_env)
		return 0;
	map = yaml_document_add_mapping(&dump->document, NULL, YAML_BLOCK_MAPPING_STYLE);
	if (map <= 0)
		return -ENOMEM;
	for (size_t i = 0; i < match->n_env; i++) {
		const struct env_pattern *env = &match->env[i];
		int r = put(dump, map, env->name, add_list(dump, env->values.globs, env->values.n));

		if (r < 0)
			return r;
	}
	return map;
}

static int add_row_list(struct dump *dump, const struct conf_key *key)
{
	for (size_t i = 0; i < dump->lists->n; i++) {
		const struct conf_list *row = &dump->lists->items[i];
		size_t n;

		if (!streq(row->path, key->path))
			continue;
		n = *(const size_t *)(const void *)(dump->base + row->n_offset);
		if (!n && !key->may_be_empty)
			return 0;
		return add_list(dump, *(char *const *const *)(const void *)(dump->base + row->items_offset), n);
	}
	return 0;
}

static int add_row_value(struct dump *dump, const struct conf_key *key)
{
	char buffer[64];

	for (size_t i = 0; i < dump->values->n; i++) {
		const struct conf_value *row = &dump->values->items[i];

		if (!streq(row->path, key->path))
			continue;
		row->kind->format(row->kind, dump->base + row->value_offset, buffer, sizeof(buffer));
		return add_text(dump, buffer);
	}
	if (!dump->policy)
		return 0;
	if (streq(key->path, "key.args") && dump->policy->key_args_text)
		return add_text(dump, dump->policy->key_args_text);
	if (streq(key->path, "key.env") && dump->policy->key_env)
		return add_text(dump, dump->policy->key_env);
	return 0;
}

static int dump_key(struct dump *dump, const struct conf_key *key)
{
	const char *dot = strchr(key->path, '.');
	int value, r;

	switch (key->shape) {
	case CONF_MAP:
		dump->map = 0;
		dump->name = key->path;
		return 0;
	case CONF_LATER:
		return 0;
	case CONF_LIST:
		value = add_row_list(dump, key);
		break;
	case CONF_PAIRS:
		value = add_env(dump);
		break;
	default:
		value = add_row_value(dump, key);
	}
	if (value <= 0 || !dot)
		return put(dump, dump->root, key->path, value);
	if (!dump->map) {
		dump->map = yaml_document_add_mapping(&dump->document, NULL, YAML_BLOCK_MAPPING_STYLE);
		r = dump->map > 0 ? put(dump, dump->root, dump->name, dump->map) : -ENOMEM;
		if (r < 0)
			return r;
	}
	return put(dump, dump->map, dot + 1, value);
}

static int dump_keys(struct dump *dump, char **ret_text)
{
	int r = 0;

	if (!yaml_document_initialize(&dump->document, NULL, NULL, NULL, 1, 1))
		return -ENOMEM;
	dump->root = yaml_document_add_mapping(&dump->document, NULL, YAML_BLOCK_MAPPING_STYLE);
	if (dump->root <= 0)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < dump->keys->n; i++)
		r = dump_key(dump, &dump->keys->items[i]);
	if (r < 0) {
		yaml_document_delete(&dump->document);
		return r;
	}
	return conf_yaml_emit(&dump->document, ret_text);
}

int conf_policy_dump(const struct policy *policy, char **ret_text)
{
	struct dump dump = {
		.policy = policy,
		.base = (const char *)policy,
		.keys = &conf_policy_keys,
		.lists = &conf_policy_lists,
		.values = &conf_policy_values,
	};

	return dump_keys(&dump, ret_text);
}

int conf_host_dump(const struct host_config *config, char **ret_text)
{
	struct dump dump = {
		.base = (const char *)config,
		.keys = &conf_host_keys,
		.lists = &conf_host_lists,
		.values = &conf_host_values,
	};

	return dump_keys(&dump, ret_text);
}
