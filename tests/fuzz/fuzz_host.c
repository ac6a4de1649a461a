/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parsers of /proc/meminfo and /proc/pressure/memory. Fuzzers link no edges, so they are included. */
#include "sense/host_parse.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);
	struct host_view view = {.full_ns = 1};
	uint64_t full_ns;

	if (!text)
		return 0;
	memcpy(text, bytes, size);
	text[size] = '\0';
	if (host_meminfo_parse(text, &view) == 0) {
		if (!strstr(text, "MemTotal:") || !strstr(text, "MemAvailable:") || view.full_ns != 1)
			abort();
		if (!view.total_bytes || view.available_bytes > view.total_bytes ||
		    view.swap_free_bytes > view.swap_total_bytes)
			abort();
	}
	if (host_pressure_parse(text, &full_ns) == 0 && !strstr(text, " total="))
		abort();
	return 0;
}
