/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The check of ring records: what passes can be read in all its parts. Fuzzers link no edges, so it is included. */
#include "sense/bpf_ring.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	/* Just as long as the record, so that ASan sees a read beyond it; aligned as in the ring. */
	_cleanup_free_ uint8_t *copy = malloc(size ? size : 1);
	const struct gov_record_exec *exec;

	if (!copy)
		return 0;
	memcpy(copy, bytes, size);
	if (!bpf_record_is_valid(copy, size))
		return 0;
	exec = (const struct gov_record_exec *)(const void *)copy;
	if (exec->head.kind != GOV_RECORD_EXEC)
		return 0;
	if (strlen(exec->comm) >= GOV_COMM_SIZE || strlen(exec->filename) >= GOV_FILENAME_SIZE)
		abort();
	if (exec->args_size > 0 && memchr(exec->args, '\0', exec->args_size) == exec->args + GOV_ARGS_SIZE)
		abort();
	return 0;
}
