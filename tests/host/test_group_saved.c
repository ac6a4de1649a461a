/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "act/layout.h"
#include "act/saved.h"
#include "base/text.h"

/* The agent's state in its xattr, and the origin in it: what comes back is what was written, all else is refused. */

#define GOOD                                                                                                           \
	"govd3 id=ab12 policy=p.1 pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "        \
	"explicit=1 root=0 key=k origin=v2= exe=/x "                                                                   \
	"script="

static void fill(struct agent *agent, struct policy *policy, int byte)
{
	static const size_t sizes[] = {POLICY_KEY_MAX, AGENT_CGROUP_MAX, AGENT_EXE_MAX, AGENT_EXE_MAX};
	static struct restart restart = {.id = UINT64_MAX};
	static char texts[ELEMENTSOF(sizes)][AGENT_CGROUP_MAX];

	memset(agent, 0, sizeof(*agent));
	memset(policy, 0, sizeof(*policy));
	agent->policy = policy;
	memset(policy->name, 'p', sizeof(policy->name) - 1);
	memset(agent->id, 'f', sizeof(agent->id) - 1);
	memset(texts, 0, sizeof(texts));
	for (size_t i = 0; i < ELEMENTSOF(texts); i++)
		memset(texts[i], byte, sizes[i] - 1);
	agent->key = texts[0];
	agent->origin = texts[1];
	agent->exe = texts[2];
	agent->script = texts[3];
	agent->restart = &restart;
	agent->root_pid = INT32_MAX;
	agent->root_start_ticks = UINT64_MAX;
	agent->uid = UINT32_MAX;
	agent->since_ns = agent->run_ns = agent->thaw_ns = agent->lease_ns = agent->lease_until_ns = UINT64_MAX;
	agent->is_explicit = agent->has_root = true;
}

Test(saved, every_byte_comes_back_at_full_length)
{
	char state[SAVED_SIZE];
	struct policy policy;
	struct agent agent;
	struct saved saved;

	for (int byte = 1; byte < 256; byte++) {
		size_t length;

		fill(&agent, &policy, byte);
		length = saved_format(&agent, state);
		cr_assert_lt(length, SAVED_SIZE - 1);
		for (size_t i = 0; i < length; i++)
			cr_assert(state[i] >= ' ' && state[i] < 0x7f);
		cr_assert_eq(saved_parse(state, length, &saved), 0, "byte %d", byte);
		cr_assert_str_eq(saved.policy, policy.name);
		cr_assert_str_eq(saved.agent.id, agent.id);
		cr_assert_str_eq(saved.agent.key, agent.key);
		cr_assert_str_eq(saved.agent.origin, agent.origin);
		cr_assert_str_eq(saved.agent.exe, agent.exe);
		cr_assert_str_eq(saved.agent.script, agent.script);
		cr_assert_eq(saved.agent.root_pid, INT32_MAX);
		cr_assert_eq(saved.agent.root_start_ticks, UINT64_MAX);
		cr_assert_eq(saved.agent.uid, UINT32_MAX);
		cr_assert_eq(saved.agent.since_ns, UINT64_MAX);
		cr_assert_eq(saved.agent.run_ns, UINT64_MAX);
		cr_assert_eq(saved.agent.thaw_ns, UINT64_MAX);
		cr_assert_eq(saved.agent.lease_ns, UINT64_MAX);
		cr_assert_eq(saved.agent.lease_until_ns, UINT64_MAX);
		cr_assert_eq(saved.restart_id, UINT64_MAX);
		cr_assert(saved.agent.is_explicit && saved.agent.has_root);
	}
}

Test(saved, hostile_texts_are_refused)
{
	static const char *const bad[] = {
		"",
		"govd3",
		"govd3 id=ab12",
		"govd3 id=../x policy=p pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key= origin= exe= "
		"script=",
		"govd3 id=a/b policy=p pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key= origin= exe= "
		"script=",
		"govd3 id=a policy=p%2Fq pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key= origin= exe= "
		"script=",
		"govd3 id= policy=p pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key= origin= exe= script=",
		"govd3 id=a policy= pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key= origin= exe= script=",
		"govd3 id=aaaaaaaaaaaaaaaa policy=p pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 "
		"restart=3 explicit=1 root=0 key= "
		"origin= exe= "
		"script=",
		"govd3 id=a policy=p pid=0 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key= origin= exe= script=",
		"govd3 id=a policy=p pid=-5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key= origin= exe= script=",
		"govd3 id=a policy=p pid=05 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key= origin= exe= script=",
		"govd3 id=a policy=p pid=4294967301 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 "
		"restart=3 explicit=1 root=0 key= origin= exe= "
		"script=",
		"govd3 id=a policy=p pid=5 start=18446744073709551616 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 "
		"until=2 restart=3 explicit=1 root=0 key= "
		"origin= "
		"exe= "
		"script=",
		"govd3 id=a policy=p pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=2 root=0 key= origin= exe= script=",
		"govd3 id=a policy=p pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key=%00 origin= exe= "
		"script=",
		"govd3 id=a policy=p pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key=%4 origin= exe= "
		"script=",
		"govd3 id=a policy=p pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key=\n origin= exe= "
		"script=",
		"govd3 id=a policy=p pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key= exe= origin= script=",
		"govd3 policy=p id=a pid=5 start=6 uid=7 parent=3 since=8 run=9 thaw=0 lease=1 until=2 restart=3 "
		"explicit=1 root=0 key= origin= exe= script=",
		GOOD " ",
		GOOD " more=1",
		GOOD "\n",
		GOOD "%",
		GOOD "%2",
		GOOD "%zz",
		GOOD "\x80",
	};
	struct saved saved = {.policy = "untouched"};
	const char *good = GOOD;

	cr_assert_eq(saved_parse(good, strlen(good), &(struct saved){0}), 0);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		cr_expect_eq(saved_parse(bad[i], strlen(bad[i]), &saved), -EINVAL, "%s", bad[i]);
	cr_expect_str_eq(saved.policy, "untouched");
	/* A NUL in the middle, and every prefix but those that are a text of their own. */
	cr_expect_eq(saved_parse(GOOD "\0x", strlen(good) + 2, &saved), -EINVAL);
	for (size_t length = 0; length < strlen(good); length++)
		cr_expect_eq(saved_parse(good, length, &saved), -EINVAL, "%zu", length);
}

Test(saved, origin_holds_whole_paths_only)
{
	struct layout layout = {.n_v1 = 2};
	char text[3000] = "4:memory:/a;b=c\n3:cpu,cpuacct:/x\n0::/", path[PATH_MAX], origin[AGENT_CGROUP_MAX];

	text_copy(layout.v1[0].name, sizeof(layout.v1[0].name), "memory");
	text_copy(layout.v1[1].name, sizeof(layout.v1[1].name), "cpu,cpuacct");
	origin_format(&layout, text, origin);
	cr_expect_str_eq(origin, "v2=;memory=/a%3Bb%3Dc;cpu,cpuacct=/x");
	cr_assert_eq(origin_path(origin, &layout.v1[0], path, sizeof(path)), 0);
	cr_expect_str_eq(path, "/a;b=c");
	cr_assert_eq(origin_path(origin, &layout.v1[1], path, sizeof(path)), 0);
	cr_expect_str_eq(path, "/x");
	cr_assert_eq(origin_path(origin, &layout.v2, path, sizeof(path)), 0);
	cr_expect_str_eq(path, "");
	/* One that doesn't fit is left out, the others stay. */
	memcpy(text, "4:memory:/", 10);
	memset(text + 10, 'm', 600);
	strcpy(text + 610, "\n3:cpu,cpuacct:/x\n0::/y");
	origin_format(&layout, text, origin);
	cr_expect_str_eq(origin, "v2=/y;cpu,cpuacct=/x");
	cr_expect_eq(origin_path(origin, &layout.v1[0], path, sizeof(path)), -ENOENT);
	/* Outside of the cgroup namespace: nowhere to go back to. */
	origin_format(&layout, "4:memory:/../z\n3:cpu,cpuacct:/\n0::/../..\n", origin);
	cr_expect_str_eq(origin, "cpu,cpuacct=");
}
