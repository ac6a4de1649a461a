/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <limits.h>

#include "core/glob.h"
#include "sense/hold_internal.h"

void hold_watches_done(struct hold_watches *watches)
{
	for (size_t i = 0; i < watches->n; i++)
		free(watches->watches[i].path);
	free(watches->watches);
	*watches = (struct hold_watches){0};
}

void hold_patterns_done(struct hold_patterns *patterns)
{
	for (size_t i = 0; i < patterns->n; i++)
		free(patterns->patterns[i].glob);
	free(patterns->patterns);
	*patterns = (struct hold_patterns){0};
}

int hold_watches_add(struct hold_watches *watches, const char *path, bool is_exec)
{
	char *copy;

	for (size_t i = 0; i < watches->n; i++)
		if (watches->watches[i].is_exec == is_exec && streq(watches->watches[i].path, path))
			return 0;
	if (watches->n >= HOLD_WATCHES_MAX) {
		watches->error = E2BIG;
		return 0;
	}
	if (!watches->watches) {
		watches->watches = calloc(HOLD_WATCHES_MAX, sizeof(*watches->watches));
		if (!watches->watches)
			return -ENOMEM;
	}
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	watches->watches[watches->n++] = (struct hold_watch){copy, is_exec};
	return 1;
}

static int hold_patterns_add(struct hold_patterns *patterns, const char *glob, bool is_exec)
{
	struct hold_pattern *more = reallocarray(patterns->patterns, patterns->n + 1, sizeof(*more));
	char *copy;

	if (!more)
		return -ENOMEM;
	patterns->patterns = more;
	copy = strdup(glob);
	if (!copy)
		return -ENOMEM;
	patterns->patterns[patterns->n++] = (struct hold_pattern){copy, is_exec};
	return 0;
}

bool hold_pattern_is_watchable(const char *glob)
{
	const char *slash = strrchr(glob, '/');

	if (glob[0] != '/' || !slash[1] || strlen(glob) >= PATH_MAX)
		return false;
	/* `/` + `*` + ...: all of the host. */
	return hold_literal_head(glob) > 0 || !strpbrk(glob, "*?[");
}

static int add_list(struct hold_watches *watches, struct hold_patterns *patterns, const struct pattern_list *list,
		    bool is_exec)
{
	for (size_t i = 0; i < list->n; i++) {
		int r;

		if (!hold_pattern_is_watchable(list->globs[i]))
			continue;
		r = hold_patterns_add(patterns, list->globs[i], is_exec);
		if (r >= 0)
			r = hold_expand(watches, list->globs[i], is_exec);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool are_all_watchable(const struct pattern_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (!hold_pattern_is_watchable(list->globs[i]))
			return false;
	return list->n > 0;
}

/* With both keys the script alone is enough, and spares all other starts of the interpreter. */
static int add_policy(struct hold_watches *watches, struct hold_patterns *patterns, const struct policy_match *match)
{
	int r = add_list(watches, patterns, &match->script, false);

	if (r < 0 || are_all_watchable(&match->script))
		return r;
	return add_list(watches, patterns, &match->exe, true);
}

int hold_watches_from_set(struct hold_watches *watches, struct hold_patterns *patterns, const struct policy_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct policy *policy = set->policies[i];
		int r;

		if (policy->mode != POLICY_ENFORCE || policy->hold != POLICY_HOLD_AUTO)
			continue;
		r = add_policy(watches, patterns, &policy->match);
		if (r < 0)
			return r;
	}
	return 0;
}

int hold_watches_add_found(struct hold_watches *watches, const struct hold_patterns *patterns, const char *path)
{
	const char *slash = strrchr(path, '/');
	int added = 0;

	if (path[0] != '/')
		return -EINVAL;
	for (size_t i = 0; i < patterns->n; i++) {
		const struct hold_pattern *pattern = &patterns->patterns[i];
		_cleanup_free_ char *watch = NULL;
		int r;

		if (!glob_match_path(pattern->glob, path))
			continue;
		if (asprintf(&watch, "%.*s/%s", (int)(slash - path), path, hold_last_glob(pattern->glob)) < 0) {
			watch = NULL;
			return -ENOMEM;
		}
		r = hold_watches_add(watches, watch, pattern->is_exec);
		if (r < 0)
			return r;
		added |= r;
	}
	return added;
}
