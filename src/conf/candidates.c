/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/conf.h"
#include "conf/names.h"
#include "core/glob.h"
#include "core/proc.h"

int names_add(struct names *names, const char *name, size_t length)
{
	char **items, *copy;

	for (size_t i = 0; i < names->n; i++)
		if (strlen(names->items[i]) == length && memcmp(names->items[i], name, length) == 0)
			return 0;
	items = realloc(names->items, (names->n + 1) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	names->items = items;
	copy = strndup(name, length);
	if (!copy)
		return -ENOMEM;
	items[names->n++] = copy;
	return 0;
}

void conf_names_free(char **names, size_t n)
{
	for (size_t i = 0; names && i < n; i++)
		free(names[i]);
	free(names);
}

void names_done(struct names *names)
{
	conf_names_free(names->items, names->n);
	*names = (struct names){0};
}

/* The base names that a path glob can match, as a name or as a literal head with `*`. */
static int add_base_name(struct names *names, const char *glob)
{
	const char *last = glob + glob_last_component(glob);
	_cleanup_free_ char *name = NULL;
	bool is_literal;
	size_t n = glob_literal_length(last, &is_literal);

	/* `a**` crosses slashes, so that the base name need not begin with a. */
	if (strstr(last, "**"))
		n = 0;
	if (is_literal)
		return names_add(names, last, n);
	if (asprintf(&name, "%.*s*", (int)n, last) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	return names_add(names, name, n + 1);
}

static int add_list(struct names *names, const struct pattern_list *list)
{
	int r = 0;

	for (size_t i = 0; i < list->n && r == 0; i++)
		r = add_base_name(names, list->globs[i]);
	return r;
}

static int add_policy(struct names *names, const struct policy_match *match)
{
	int r = 0;

	if (match->exe.n)
		return add_list(names, &match->exe);
	if (!match->script.n)
		return names_add(names, "*", 1);
	/* Also of a `#!` script the executed file is the interpreter. */
	for (size_t i = 0; i < match->script.n; i++)
		for (const char *const *glob = proc_interpreter_globs(match->script.globs[i]); *glob && r == 0; glob++)
			r = names_add(names, *glob, strlen(*glob));
	return r;
}

/* So that one which an agent starts is seen. A glob without a head would make every exec a candidate: not worth that.
 */
static int add_protected(struct names *names, const struct pattern_list *protect)
{
	int r = 0;

	for (size_t i = 0; i < protect->n && r == 0; i++) {
		const char *last = protect->globs[i] + glob_last_component(protect->globs[i]);
		bool is_literal;

		if (glob_literal_length(last, &is_literal) && !strstr(last, "**"))
			r = add_base_name(names, protect->globs[i]);
	}
	return r;
}

static bool has_all(const struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		if (streq(names->items[i], "*"))
			return true;
	return false;
}

int conf_candidates(const struct policy_set *set, char ***ret_names, size_t *ret_n)
{
	_cleanup_(names_done) struct names names = {0};
	int r = 0;

	for (size_t i = 0; i < set->n && r == 0; i++)
		r = add_policy(&names, &set->policies[i]->match);
	if (r == 0)
		r = add_protected(&names, &set->host.protect);
	if (r == 0 && has_all(&names)) {
		names_done(&names);
		r = names_add(&names, "*", 1);
	}
	if (r < 0)
		return r;
	*ret_n = names.n;
	*ret_names = TAKE_PTR(names.items);
	names.n = 0;
	return 0;
}
