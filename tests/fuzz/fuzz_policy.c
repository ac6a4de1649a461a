/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/conf.h"

/* Any bytes are a policy or an error; what loads, dumps, and the dump loads and dumps the same. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct conf_host host = {.memory_bytes = UINT64_C(8) << 30};

static struct policy *load(const char *text, size_t length)
{
	struct conf_errors errors = {0};
	struct policy *policy = NULL;
	int r = conf_policy_parse(&(struct conf_text){"fuzz", "fuzz.yaml", text, length}, &host, &policy, &errors);

	/* An error without a word leaves the user alone. */
	if ((r < 0) != (errors.n > 0) || (r < 0) != !policy)
		abort();
	conf_errors_done(&errors);
	return policy;
}

static void check_connect(const struct policy_connect *connect, const struct policy_connect *back)
{
	if (connect->rate.count != back->rate.count || connect->rate.per_ns != back->rate.per_ns ||
	    connect->burst != back->burst || connect->per != back->per || connect->max_delay_ns != back->max_delay_ns ||
	    connect->on_excess != back->on_excess || connect->udp != back->udp)
		abort();
	/* What is let through would shut the agent out, or can't be held. */
	if (connect->max_delay_ns > POLICY_DELAY_MAX_NS ||
	    (connect->rate.count && connect->rate.per_ns / connect->rate.count > connect->max_delay_ns))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy *policy = load((const char *)data, size), *back;
	char *first = NULL, *second = NULL;

	if (!policy)
		return 0;
	if (conf_policy_dump(policy, &first) < 0)
		abort();
	back = load(first, strlen(first));
	if (!back || conf_policy_dump(back, &second) < 0 || !streq(first, second))
		abort();
	if (memcmp(&policy->limits, &back->limits, sizeof(policy->limits)) != 0 ||
	    memcmp(&policy->breaker, &back->breaker, sizeof(policy->breaker)) != 0 ||
	    memcmp(&policy->sockets, &back->sockets, sizeof(policy->sockets)) != 0)
		abort();
	check_connect(&policy->connect, &back->connect);
	free(first);
	free(second);
	policy_unref(policy);
	policy_unref(back);
	return 0;
}
