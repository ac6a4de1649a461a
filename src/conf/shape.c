/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"
#include "conf/keys.h"

/*
 * libcyaml knows neither "a scalar or a list" nor maps with free keys, and stops at the first error with a message for
 * programmers. So this pass walks the document along our table of keys, tells all that is wrong, and copies what is
 * right into the long form that the schema wants.
 */

#define MAP_KEYS_MAX 64

struct shape {
	struct conf_context *context;
	const struct conf_keys *keys;
	yaml_document_t *from;
	yaml_document_t to;
};

static yaml_node_t *node_at(struct shape *shape, int id)
{
	return yaml_document_get_node(shape->from, id);
}

static const char *scalar_text(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

/* `key:` with nothing behind it, or the word for nothing. */
static bool is_null(const yaml_node_t *node)
{
	const char *text = scalar_text(node);

	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	return !*text || streq(text, "~") || streq(text, "null") || streq(text, "Null") || streq(text, "NULL");
}

static const char *kind_of(const yaml_node_t *node)
{
	if (is_null(node))
		return "is empty";
	switch (node->type) {
	case YAML_MAPPING_NODE:
		return "is a map";
	case YAML_SEQUENCE_NODE:
		return "is a list";
	default:
		return "is a single value";
	}
}

/* Ids of nodes are positive; libyaml returns 0 for want of memory. */
static int made(int id)
{
	return id > 0 ? id : -ENOMEM;
}

static int add_scalar(yaml_document_t *to, const char *text)
{
	return made(yaml_document_add_scalar(to, NULL, (const unsigned char *)text, (int)strlen(text),
					     YAML_DOUBLE_QUOTED_SCALAR_STYLE));
}

static int add_pair(yaml_document_t *to, int map, const char *name, int value)
{
	int key = add_scalar(to, name);

	if (key < 0)
		return key;
	return yaml_document_append_mapping_pair(to, map, key, value) ? 0 : -ENOMEM;
}

/* Each of the copiers returns the id of the new node, 0 when there is nothing to copy (it was told why), or -ENOMEM. */

static int copy_list(struct shape *shape, const yaml_node_t *node, const char *path, const struct conf_key *key)
{
	int list = made(yaml_document_add_sequence(&shape->to, NULL, YAML_FLOW_SEQUENCE_STYLE));
	yaml_node_item_t one = 0, *start = &one, *end = &one + 1;

	if (list < 0)
		return list;
	if (node->type == YAML_SEQUENCE_NODE) {
		start = node->data.sequence.items.start;
		end = node->data.sequence.items.top;
	}
	if (end - start > POLICY_PATTERNS_MAX) {
		conf_complain(shape->context, path, NULL, "is a list of %td; %d are the most", end - start,
			      POLICY_PATTERNS_MAX);
		return 0;
	}
	if (start == end && !key->may_be_empty) {
		conf_complain(shape->context, path, NULL, "is an empty list; %s, or leave the key out", key->wanted);
		return 0;
	}
	for (yaml_node_item_t *item = start; item < end; item++) {
		const yaml_node_t *value = *item ? node_at(shape, *item) : node;
		int id;

		if (value->type != YAML_SCALAR_NODE || is_null(value)) {
			conf_complain(shape->context, path, NULL, "%s%s; %s",
				      value == node ? "" : "an item of the list ", kind_of(value), key->wanted);
			return 0;
		}
		id = add_scalar(&shape->to, scalar_text(value));
		if (id < 0 || !yaml_document_append_sequence_item(&shape->to, list, id))
			return -ENOMEM;
	}
	return list;
}

/* Whether the key at index stands in the map before, too. */
static bool is_repeated(struct shape *shape, const yaml_node_t *map, const yaml_node_pair_t *pair)
{
	const char *name = scalar_text(node_at(shape, pair->key));

	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++) {
		const yaml_node_t *other = node_at(shape, p->key);

		if (other->type == YAML_SCALAR_NODE && streq(scalar_text(other), name))
			return true;
	}
	return false;
}

/* The path of a pair's key; false: told what is wrong with it. */
static bool pair_path(struct shape *shape, const yaml_node_t *map, const yaml_node_pair_t *pair, struct text *path)
{
	const yaml_node_t *key = node_at(shape, pair->key);

	if (key->type != YAML_SCALAR_NODE) {
		conf_complain(shape->context, path->bytes, NULL, "a key %s; write a word", kind_of(key));
		return false;
	}
	if (pair - map->data.mapping.pairs.start >= MAP_KEYS_MAX) {
		if (pair - map->data.mapping.pairs.start == MAP_KEYS_MAX)
			conf_complain(shape->context, path->bytes, NULL, "has too many keys; %d are the most",
				      MAP_KEYS_MAX);
		return false;
	}
	text_addf(path, "%s%s", path->length ? "." : "", scalar_text(key));
	if (!is_repeated(shape, map, pair))
		return true;
	conf_complain(shape->context, path->bytes, NULL, "is given twice; write it once");
	return false;
}

/* {A: b} -> [{name: A, values: [b]}] */
static int copy_pairs(struct shape *shape, const yaml_node_t *node, const char *path, const char *wanted)
{
	static const struct conf_key values_key = {.shape = CONF_LIST, .wanted = "write a glob, or a list of them"};
	int list = made(yaml_document_add_sequence(&shape->to, NULL, YAML_FLOW_SEQUENCE_STYLE));

	if (list < 0)
		return list;
	if (node->data.mapping.pairs.start == node->data.mapping.pairs.top) {
		conf_complain(shape->context, path, NULL, "is an empty map; %s, or leave the key out", wanted);
		return 0;
	}
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		char buffer[CONF_PATH_MAX];
		struct text where = TEXT_ON(buffer);
		int map, values;

		buffer[0] = '\0';
		text_add(&where, path);
		if (!pair_path(shape, node, pair, &where))
			continue;
		values = copy_list(shape, node_at(shape, pair->value), buffer, &values_key);
		if (values < 0)
			return values;
		if (!values)
			continue;
		map = made(yaml_document_add_mapping(&shape->to, NULL, YAML_FLOW_MAPPING_STYLE));
		if (map < 0)
			return map;
		if (add_pair(&shape->to, map, "name", add_scalar(&shape->to, scalar_text(node_at(shape, pair->key)))) <
			    0 ||
		    add_pair(&shape->to, map, "values", values) < 0 ||
		    !yaml_document_append_sequence_item(&shape->to, list, map))
			return -ENOMEM;
	}
	return list;
}

/* The last word of a key's path when the key stands directly in the map at path; else NULL. */
static const char *child_name(const struct conf_key *key, const char *path)
{
	size_t n = strlen(path);
	const char *name = key->path;

	if (n) {
		if (strncmp(name, path, n) != 0 || name[n] != '.')
			return NULL;
		name += n + 1;
	}
	return strchr(name, '.') ? NULL : name;
}

static void complain_unknown(struct shape *shape, const char *parent, const char *path, const char *name)
{
	const char *known[MAP_KEYS_MAX], *meant;
	char list[512];
	struct text text = TEXT_ON(list);
	size_t n = 0;

	list[0] = '\0';
	for (size_t i = 0; i < shape->keys->n && n < ELEMENTSOF(known); i++) {
		const struct conf_key *key = &shape->keys->items[i];
		const char *child = key->shape == CONF_LATER ? NULL : child_name(key, parent);

		if (!child)
			continue;
		text_addf(&text, "%s%s", n ? ", " : "", child);
		known[n++] = child;
	}
	meant = conf_suggest(name, known, n);
	if (strchr(name, '.') && conf_key_find(shape->keys, name))
		conf_complain(shape->context, path, NULL, "unknown key; write %.*s: {%s: ...}",
			      (int)(strchr(name, '.') - name), name, strchr(name, '.') + 1);
	else if (meant)
		conf_complain(shape->context, path, NULL, "unknown key; did you mean %s? known here: %s", meant, list);
	else
		conf_complain(shape->context, path, NULL, "unknown key; known here: %s", list);
}

static int copy_map(struct shape *shape, const yaml_node_t *node, const char *path);

static int copy_value(struct shape *shape, const yaml_node_t *node, const struct conf_key *key)
{
	static const yaml_node_type_t wanted_type[] = {
		[CONF_MAP] = YAML_MAPPING_NODE,
		[CONF_PAIRS] = YAML_MAPPING_NODE,
		[CONF_SCALAR] = YAML_SCALAR_NODE,
	};

	if (key->shape == CONF_LATER) {
		conf_complain(shape->context, key->path, NULL,
			      "is not supported by this version of govd; leave it out");
		return 0;
	}
	if (key->shape == CONF_LIST)
		return copy_list(shape, node, key->path, key);
	if (node->type != wanted_type[key->shape] || is_null(node)) {
		conf_complain(shape->context, key->path, NULL, "%s; %s", kind_of(node), key->wanted);
		return 0;
	}
	if (key->shape == CONF_SCALAR)
		return add_scalar(&shape->to, scalar_text(node));
	if (key->shape == CONF_PAIRS)
		return copy_pairs(shape, node, key->path, key->wanted);
	return copy_map(shape, node, key->path);
}

static bool map_has(struct shape *shape, const yaml_node_t *map, const char *name)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = node_at(shape, p->key);

		if (key->type == YAML_SCALAR_NODE && streq(scalar_text(key), name))
			return true;
	}
	return false;
}

static int add_implied(struct shape *shape, int map, const yaml_node_t *node, const char *path)
{
	for (size_t i = 0; i < shape->keys->n_implied; i++) {
		const struct conf_implied *implied = &shape->keys->implied[i];
		const struct conf_key *key = conf_key_find(shape->keys, implied->path);
		const char *name = child_name(key, path);

		if (!name || map_has(shape, node, name))
			continue;
		if (!implied->text)
			conf_complain(shape->context, implied->path, NULL, "is missing; %s", key->wanted);
		else if (add_pair(&shape->to, map, name, add_scalar(&shape->to, implied->text)) < 0)
			return -ENOMEM;
	}
	return map;
}

static int copy_map(struct shape *shape, const yaml_node_t *node, const char *path)
{
	int map = made(yaml_document_add_mapping(&shape->to, NULL, YAML_FLOW_MAPPING_STYLE));

	if (map < 0)
		return map;
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		char buffer[CONF_PATH_MAX];
		struct text where = TEXT_ON(buffer);
		const struct conf_key *key;
		int value;

		buffer[0] = '\0';
		text_add(&where, path);
		if (!pair_path(shape, node, pair, &where))
			continue;
		key = where.truncated ? NULL : conf_key_find(shape->keys, buffer);
		/* `match.exe` as one word at the top is not the key exe of match. */
		if (!key || !child_name(key, path)) {
			complain_unknown(shape, path, buffer, scalar_text(node_at(shape, pair->key)));
			continue;
		}
		value = copy_value(shape, node_at(shape, pair->value), key);
		if (value < 0 || (value > 0 && add_pair(&shape->to, map, child_name(key, path), value) < 0))
			return -ENOMEM;
	}
	return add_implied(shape, map, node, path);
}

int conf_shape_normalize(struct conf_context *context, yaml_document_t *document, const struct conf_keys *keys,
			 char **ret_text)
{
	struct shape shape = {.context = context, .keys = keys, .from = document};
	const yaml_node_t *root = yaml_document_get_root_node(document);
	int r;

	if (!yaml_document_initialize(&shape.to, NULL, NULL, NULL, 1, 1))
		return -ENOMEM;
	/* Comments alone are an empty map. */
	if (!root || is_null(root)) {
		r = made(yaml_document_add_mapping(&shape.to, NULL, YAML_FLOW_MAPPING_STYLE));
	} else if (root->type != YAML_MAPPING_NODE) {
		conf_complain(context, NULL, NULL,
			      "the file %s; write keys, such as match: and memory:", kind_of(root));
		r = -EINVAL;
	} else {
		r = copy_map(&shape, root, "");
	}
	if (r < 0) {
		yaml_document_delete(&shape.to);
		return r;
	}
	return conf_yaml_emit(&shape.to, ret_text);
}
