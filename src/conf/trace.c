/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/conf.h"

#include "base/text.h"

/* The policies that a trace holds: those of a set stand together before its event. */

static void forget_host(struct conf_trace *trace)
{
	if (trace->has_host)
		host_config_done(&trace->config);
	trace->has_host = false;
}

void conf_trace_done(struct conf_trace *trace)
{
	for (size_t i = 0; i < trace->n; i++)
		policy_unref(trace->policies[i]);
	free(trace->policies);
	trace->policies = NULL;
	trace->n = 0;
	forget_host(trace);
}

static int add_host(struct conf_trace *trace, const char *yaml)
{
	const struct conf_text text = {.file = trace->file, .bytes = yaml, .length = strlen(yaml)};
	int r;

	forget_host(trace);
	r = conf_host_parse(&text, &trace->config, trace->errors);
	trace->has_host = r == 0;
	return r;
}

int conf_trace_policy(const char *name, const char *yaml, void *userdata)
{
	_cleanup_(policy_unrefp) struct policy *policy = NULL;
	struct conf_trace *trace = userdata;
	const struct conf_text text = {name, trace->file, yaml, strlen(yaml)};
	struct policy **policies;
	int r;

	if (!name)
		return add_host(trace, yaml);
	if (trace->n == POLICY_MAX)
		return -E2BIG;
	r = conf_policy_parse(&text, trace->host, &policy, trace->errors);
	if (r < 0)
		return r;
	policies = reallocarray(trace->policies, trace->n + 1, sizeof(struct policy *));
	if (!policies)
		return -ENOMEM;
	trace->policies = policies;
	trace->policies[trace->n++] = TAKE_PTR(policy);
	return 0;
}

static int policy_compare(const void *a, const void *b)
{
	return strcmp((*(struct policy *const *)a)->name, (*(struct policy *const *)b)->name);
}

int conf_trace_policies(struct policy_set **ret_set, void *userdata)
{
	struct conf_trace *trace = userdata;
	_cleanup_(policy_set_unrefp) struct policy_set *set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return -ENOMEM;
	set->references = 1;
	if (!trace->has_host) {
		r = add_host(trace, "");
		if (r < 0)
			return r;
	}
	if (trace->n)
		qsort(trace->policies, trace->n, sizeof(struct policy *), policy_compare);
	set->policies = TAKE_PTR(trace->policies);
	set->n = trace->n;
	set->host = trace->config;
	trace->n = 0;
	trace->has_host = false;
	*ret_set = TAKE_PTR(set);
	return 0;
}
