/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <grp.h>
#include <pwd.h>

#include "conf/value.h"
#include "core/glob.h"
#include "core/regex.h"

#define ENV_NAME_MAX 255

const char *conf_check_glob(const char *glob)
{
	int r = glob_check(glob);

	if (r == -E2BIG)
		return "is longer than 1024 bytes; write a shorter glob";
	if (!*glob)
		return "is empty; write a path or a glob";
	if (r < 0)
		return "is not a glob: a [ is not closed or a \\ stands at the end; close it, or write \\[ or \\\\ for "
		       "the character itself";
	return NULL;
}

const char *conf_check_path_glob(const char *glob)
{
	const char *wrong = conf_check_glob(glob);
	size_t n = strlen(glob);

	if (wrong)
		return wrong;
	if (n > 1 && glob[n - 1] == '/')
		return "ends in a slash, which no path here does; leave it off, or write /** for everything below";
	return NULL;
}

const char *conf_check_env_name(const char *name)
{
	if (!*name || strchr(name, '=') || strlen(name) > ENV_NAME_MAX)
		return "is not the name of a variable; write one such as ROOM";
	for (const char *s = name; *s; s++)
		if (*s <= ' ' || *s == 0x7f)
			return "is not the name of a variable; write one such as ROOM";
	return NULL;
}

static struct regex *regex_convert(struct conf_context *context, const char *path, const char *text)
{
	struct regex *regex = NULL;
	char error[160] = "";
	int r;

	if (!*text) {
		conf_complain(context, path, text, "is empty and would match everything; write a regular expression");
		return NULL;
	}
	r = regex_new(text, &regex, error, sizeof(error));
	if (r == -ENOMEM)
		context->error = r;
	else if (r < 0)
		conf_complain(context, path, text,
			      "is not a regular expression that govd takes: %s; see pcre2pattern(3)", error);
	return regex;
}

static void args_convert(struct conf_context *context, struct policy_match *match)
{
	if (!match->n_args)
		return;
	match->args = calloc(match->n_args, sizeof(*match->args));
	if (!match->args) {
		context->error = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < match->n_args && match->args_text[i]; i++)
		match->args[i] = regex_convert(context, "match.args", match->args_text[i]);
}

static void env_one(struct conf_context *context, const struct conf_pair_text *from, struct env_pattern *to)
{
	const char *wrong = conf_check_env_name(from->name);
	char path[CONF_PATH_MAX];

	if (wrong)
		conf_complain(context, "match.env", from->name, "%s", wrong);
	snprintf(path, sizeof(path), "match.env.%s", from->name);
	to->name = strdup(from->name);
	to->values.globs = calloc(MAX2(from->values.n, 1U), sizeof(char *));
	if (!to->name || !to->values.globs) {
		context->error = -ENOMEM;
		return;
	}
	to->values.n = from->values.n;
	for (uint32_t i = 0; i < from->values.n; i++) {
		/* The empty value is one that a variable can have, but no glob says it. */
		wrong = conf_check_glob(from->values.items[i]);
		if (wrong)
			conf_complain(context, path, from->values.items[i], "%s", wrong);
		to->values.globs[i] = strdup(from->values.items[i]);
		if (!to->values.globs[i])
			context->error = -ENOMEM;
	}
}

static void env_convert(struct conf_context *context, const struct conf_match_text *from, struct policy_match *match)
{
	if (!from->n_env)
		return;
	match->env = calloc(from->n_env, sizeof(*match->env));
	if (!match->env) {
		context->error = -ENOMEM;
		return;
	}
	match->n_env = from->n_env;
	for (uint32_t i = 0; i < from->n_env; i++)
		env_one(context, &from->env[i], &match->env[i]);
}

static void key_convert(struct conf_context *context, const struct conf_key_text *from, struct policy *policy)
{
	if (from->args && from->env)
		conf_complain(context, "key", NULL, "has both args and env; write one of them");
	if (from->args) {
		policy->key_args = regex_convert(context, "key.args", from->args);
		policy->key_args_text = strdup(from->args);
		if (!policy->key_args_text)
			context->error = -ENOMEM;
	}
	if (from->env) {
		const char *wrong = conf_check_env_name(from->env);

		if (wrong)
			conf_complain(context, "key.env", from->env, "%s", wrong);
		policy->key_env = strdup(from->env);
		if (!policy->key_env)
			context->error = -ENOMEM;
	}
}

/* Why the database has no such entry: getpwnam(3) lists what else says that there is none. */
static int not_found(int error)
{
	return error == EIO || error == EMFILE || error == ENFILE || error == ENOMEM ? -error : -ENOENT;
}

/* A name of the user or group database: 0, -ENOENT, or why the database can't be asked. */
static int user_find(const char *name, uint32_t *ret_id)
{
	const struct passwd *entry;

	errno = 0;
	entry = getpwnam(name);
	if (!entry)
		return not_found(errno);
	*ret_id = entry->pw_uid;
	return 0;
}

static int group_find(const char *name, uint32_t *ret_id)
{
	const struct group *entry;

	errno = 0;
	entry = getgrnam(name);
	if (!entry)
		return not_found(errno);
	*ret_id = entry->gr_gid;
	return 0;
}

struct id_kind {
	const char *path;
	int (*find)(const char *name, uint32_t *ret_id);
	const char *word;
};

static const struct id_kind match_users = {"match.user", user_find, "user"};
static const struct id_kind allow_users = {"allow.users", user_find, "user"};
static const struct id_kind allow_groups = {"allow.groups", group_find, "group"};

/* names -> ids; NULL when there are none, or for want of memory. */
static uint32_t *ids_convert(struct conf_context *context, const struct id_kind *kind, char *const *names, size_t n)
{
	uint32_t *ids = n ? calloc(n, sizeof(*ids)) : NULL;

	if (n && !ids)
		context->error = -ENOMEM;
	for (size_t i = 0; ids && i < n && names[i]; i++) {
		uint64_t number;
		int r;

		/* UINT32_MAX is the kernel's word for no id. */
		if (unit_parse_count(names[i], &number) == 0 && number < UINT32_MAX) {
			ids[i] = (uint32_t)number;
			continue;
		}
		r = kind->find(names[i], &ids[i]);
		if (r == -ENOENT)
			conf_complain(context, kind->path, names[i],
				      "is no %s of this host; create it, or write the name or number of one",
				      kind->word);
		else if (r < 0)
			conf_complain(context, kind->path, names[i],
				      "can't be looked up: %s; write the number of the %s", strerror(-r), kind->word);
	}
	return ids;
}

void conf_patterns_convert(struct conf_context *context, const struct conf_policy_text *texts, struct policy *policy)
{
	struct policy_match *match = &policy->match;

	args_convert(context, match);
	env_convert(context, &texts->match, match);
	match->users = ids_convert(context, &match_users, match->user_names, match->n_users);
	key_convert(context, &texts->key, policy);
	policy->allow_users = ids_convert(context, &allow_users, policy->allow_user_names, policy->n_allow_users);
	policy->allow_groups = ids_convert(context, &allow_groups, policy->allow_group_names, policy->n_allow_groups);
}
