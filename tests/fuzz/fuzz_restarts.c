/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line of the file of restarts: what is accepted is written and read again the same. */
#include <assert.h>

/* Fuzzers are linked with base, core and conf; this parser needs no more of src/out than itself. */
#include "out/restarts.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[RESTARTS_LINE_MAX], written[RESTARTS_LINE_MAX];
	struct restart restart, again;
	char policy[POLICY_NAME_MAX];
	uint64_t start_ticks;
	pid_t pid;
	FILE *file;

	if (size >= sizeof(line) || memchr(data, '\0', size) || memchr(data, '\n', size))
		return 0;
	memcpy(line, data, size);
	line[size] = '\0';
	if (restarts_parse_released(line, &pid, &start_ticks) == 0)
		assert(pid > 1 && restarts_parse(line, &restart) < 0);
	if (restarts_parse_suspended(line, policy) == 0)
		assert(*policy && !strchr(policy, ' ') && restarts_parse(line, &restart) < 0);
	if (restarts_parse(line, &restart) < 0)
		return 0;
	assert(restart.id && *restart.policy && restart.n_crashes <= RESTART_CRASHES_MAX);
	file = fmemopen(written, sizeof(written), "w");
	assert(file);
	/* At a time by which all delays are over. */
	restarts_write(file, &restart, UINT64_MAX);
	fclose(file);
	written[strcspn(written, "\n")] = '\0';
	assert(restarts_parse(written, &again) == 0);
	assert(restart.id == again.id && restart.starts == again.starts && restart.used_ns == again.used_ns &&
	       restart.delayed_ns == again.delayed_ns && restart.exit_code == again.exit_code &&
	       restart.has_exit_code == again.has_exit_code && restart.n_crashes == again.n_crashes &&
	       strcmp(restart.policy, again.policy) == 0);
	for (size_t i = 0; i < restart.n_crashes; i++)
		assert(restart.crash_ns[i] == again.crash_ns[i]);
	restart_done(&restart);
	restart_done(&again);
	return 0;
}
