/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"
#include "base/unit.h"

/* Any text: what a parser takes, its formatter writes in a form that the parser takes back as the same. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_durations(const char *text)
{
	uint64_t ns, back;
	char buffer[32];

	if (unit_parse_duration(text, &ns) < 0)
		return;
	unit_format_duration(buffer, sizeof(buffer), ns);
	if (unit_parse_duration(buffer, &back) < 0 || back != ns)
		abort();
	unit_format_duration_rough(buffer, sizeof(buffer), ns);
}

static void try_sizes(const char *text)
{
	uint64_t bytes, back;
	char buffer[32];

	if (unit_parse_size(text, UINT64_C(8) << 30, &bytes) < 0)
		return;
	unit_format_size(buffer, sizeof(buffer), bytes);
	if (unit_parse_size(buffer, 0, &back) < 0 || back != bytes)
		abort();
	unit_format_size_rough(buffer, sizeof(buffer), bytes);
}

static void try_others(const char *text)
{
	uint64_t count, per;
	uint32_t pct;
	char escaped[64];

	if (unit_parse_percent(text, &pct) == 0 && (pct < 1 || pct > 100000))
		abort();
	if (unit_parse_rate(text, &count, &per) == 0 && (!count || !per))
		abort();
	if (unit_parse_count(text, &count) == 0 && strlen(text) > 20 && text[0] != '0')
		abort();
	text_escape(escaped, sizeof(escaped), text);
	for (const char *s = escaped; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	try_durations(text);
	try_sizes(text);
	try_others(text);
	free(text);
	return 0;
}
