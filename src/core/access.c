/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/access.h"

enum access_verdict access_decide(enum access_class class, const struct access_caller *caller)
{
	if (caller->is_root)
		return ACCESS_GRANTED;
	if (class == ACCESS_LOOK && caller->may_look)
		return ACCESS_GRANTED;
	if (class == ACCESS_RUN && !caller->is_denied && (caller->may_look || caller->is_allowed))
		return ACCESS_BY_POLICY;
	return caller->may_be_asked ? ACCESS_ASK : ACCESS_DENIED;
}

const char *access_action(enum access_class class)
{
	static const char *const actions[] = {
		[ACCESS_LOOK] = "org.govd1.look",
		[ACCESS_ACT] = "org.govd1.act",
		[ACCESS_RUN] = "org.govd1.run",
	};

	return actions[class];
}
