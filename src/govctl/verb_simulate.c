/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "executable.h"
#include "govctl.h"

/* The core lives in govd. */
int verb_simulate(const struct context *context)
{
	static const char *const json[] = {[JSON_MODE_OFF] = "--json=off",
					   [JSON_MODE_SHORT] = "--json=short",
					   [JSON_MODE_PRETTY] = "--json=pretty"};
	const char *argv[9] = {NULL, "--simulate", context->args[0], json[context->json]};
	size_t n = 4;

	if (context->options[OPTION_POLICY_DIR]) {
		argv[n++] = "--policy-dir";
		argv[n++] = context->options[OPTION_POLICY_DIR];
	}
	if (context->options[OPTION_EXPECT])
		argv[n++] = "--expect";
	return executable_become_govd(argv);
}
