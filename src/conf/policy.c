/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"
#include "conf/value.h"

/* The whole way of one policy: text -> texts of keys -> values -> checks of what belongs together. */

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static bool name_is_valid(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < POLICY_NAME_MAX && *name != '.' && *name != '-' && strspn(name, NAME_CHARS) == n;
}

static void name_complain(struct conf_context *context, const char *name)
{
	conf_complain(
		context, NULL, name,
		"is not a name for a policy; name the file with letters, digits, `.`, `_` and `-`, at most %d, not "
		"beginning with `.` or `-`",
		POLICY_NAME_MAX - 1);
}

static void match_check(struct conf_context *context, const struct policy_match *match, size_t n_before)
{
	bool is_empty = !match->exe.n && !match->script.n && !match->n_args && !match->n_env && !match->n_users &&
			!match->cgroup.n && !match->parent.n;

	/* When a key was wrong, it was meant to be there. */
	for (size_t i = n_before; i < context->errors->n && is_empty; i++)
		if (strstr(context->errors->lines[i], ": match"))
			return;
	if (is_empty)
		conf_complain(context, "match", NULL,
			      "has no keys, so that the policy would be for every process; write at least one, such as "
			      "match: {exe: /opt/bots/**/claude}");
}

static void limits_check(struct conf_context *context, const struct conf_policy_text *texts,
			 const struct policy_limits *limits)
{
	char max[32];

	if (!texts->memory.high || limits->memory_high_bytes == UNIT_INFINITY ||
	    limits->memory_high_bytes <= limits->memory_max_bytes)
		return;
	unit_format_size(max, sizeof(max), limits->memory_max_bytes);
	conf_complain(context, "memory.high", texts->memory.high,
		      "is above memory.max, which is %s; write less, so that it slows down before it is ended", max);
}

/* The kernel ends all processes of such a group, and asks nobody. */
static void protect_check(struct conf_context *context, const struct conf_policy_text *texts,
			  const struct policy *policy)
{
	if (!policy->protect)
		return;
	if (policy->limits.on_oom != POLICY_OOM_KERNEL)
		conf_complain(context, "memory.on_oom", texts->memory.on_oom,
			      "would end agents that `protect: true` spares; write kernel, or protect: false");
	if (policy->tools.max_runtime_ns != UNIT_INFINITY)
		conf_complain(context, "tools.max_runtime", texts->tools.max_runtime,
			      "would end what `protect: true` spares; leave it out, or write protect: false");
	if (policy->on_pressure == POLICY_PRESSURE_STOP)
		conf_complain(context, "memory.on_pressure", texts->memory.on_pressure,
			      "would end agents that `protect: true` spares; write freeze, or protect: false");
}

static int policy_convert(struct conf_context *context, const struct conf_text *text, struct policy *policy)
{
	_cleanup_(conf_policy_text_freep) struct conf_policy_text *texts = NULL;
	int r;

	r = conf_policy_text_load(context, text->bytes, text->length, &texts);
	if (r < 0)
		return r;
	conf_lists_convert(context, &conf_policy_lists, texts, policy);
	conf_values_convert(context, &conf_policy_values, texts, policy);
	if (context->error)
		return context->error;
	conf_patterns_convert(context, texts, policy);
	match_check(context, &policy->match, context->n_before);
	limits_check(context, texts, &policy->limits);
	protect_check(context, texts, policy);
	conf_connect_check(context, &texts->connect, &policy->connect);
	conf_leak_check(context, &texts->leak, policy);
	conf_hung_check(context, &texts->hung, policy);
	if (context->error)
		return context->error;
	return conf_has_complained(context) ? -EINVAL : 0;
}

int conf_policy_parse(const struct conf_text *text, const struct conf_host *host, struct policy **ret_policy,
		      struct conf_errors *errors)
{
	struct conf_context context = {.file = text->file, .host = host, .errors = errors, .n_before = errors->n};
	_cleanup_(policy_unrefp) struct policy *policy = calloc(1, sizeof(*policy));
	int r;

	if (!policy)
		return -ENOMEM;
	policy->references = 1;
	policy->file = strdup(text->file);
	if (!policy->file)
		return -ENOMEM;
	if (name_is_valid(text->name))
		text_copy(policy->name, sizeof(policy->name), text->name);
	else
		name_complain(&context, text->name);
	r = policy_convert(&context, text, policy);
	if (r < 0)
		return r;
	*ret_policy = TAKE_PTR(policy);
	return 0;
}

int conf_policy_load(const char *file, const struct conf_host *host, struct policy **ret_policy,
		     struct conf_errors *errors)
{
	struct conf_context context = {.file = file, .host = host, .errors = errors, .n_before = errors->n};
	const char *base = text_basename(file);
	_cleanup_free_ char *text = NULL, *name = NULL;
	size_t length, n = strlen(base);
	int r;

	if (n > 5 && streq(base + n - 5, ".yaml"))
		n -= 5;
	name = strndup(base, n);
	if (!name)
		return -ENOMEM;
	r = conf_file_read(&context, &text, &length);
	if (r < 0)
		return r;
	return conf_policy_parse(&(struct conf_text){name, file, text, length}, host, ret_policy, errors);
}
