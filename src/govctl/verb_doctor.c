/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "executable.h"
#include "govctl.h"

/* The checks need what only govd links: BPF, cgroups, fanotify. */
int verb_doctor(const struct context *context)
{
	const char *argv[4] = {NULL, "--doctor"};

	if (context->json)
		argv[2] = context->json == JSON_MODE_PRETTY ? "--json=pretty" : "--json=short";
	return executable_become_govd(argv);
}
