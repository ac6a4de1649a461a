/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The agent's state as read from the xattr of a directory: what is accepted is written and read again the same. */
#include <assert.h>

/* Fuzzers are linked with base, core and conf; this parser needs no more of src/act than itself. */
#include "act/saved.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Not terminated, as xattrs are, and exactly as long: the sanitizer sees each byte read beyond it. */
	_cleanup_free_ char *text = malloc(size + !size);
	struct saved saved, again;
	char state[SAVED_SIZE];
	struct policy policy = {.references = 1};
	struct restart restart = {0};
	size_t length;

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	if (saved_parse(text, size, &saved) < 0)
		return 0;
	assert(saved.agent.root_pid > 0);
	assert(!strpbrk(saved.policy, "/ ") && !strpbrk(saved.agent.id, "/ "));
	memcpy(policy.name, saved.policy, sizeof(policy.name));
	saved.agent.policy = &policy;
	restart.id = saved.restart_id;
	saved.agent.restart = &restart;
	length = saved_format(&saved.agent, state);
	assert(length < SAVED_SIZE - 1);
	assert(saved_parse(state, length, &again) == 0);
	again.agent.policy = &policy;
	again.agent.restart = &restart;
	again.agent.key = saved.agent.key;
	again.agent.origin = saved.agent.origin;
	again.agent.exe = saved.agent.exe;
	again.agent.script = saved.agent.script;
	assert(memcmp(&saved, &again, sizeof(saved)) == 0);
	return 0;
}
