/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/host.h"

/* Lines `Name:   123 kB`, proc_meminfo(5). */
static const struct {
	const char *name;
	size_t offset;
	bool is_required;
} lines[] = {
	{"MemTotal:", offsetof(struct host_view, total_bytes), true},
	{"MemAvailable:", offsetof(struct host_view, available_bytes), true}, /* since 3.14 */
	{"SwapTotal:", offsetof(struct host_view, swap_total_bytes), false},
	{"SwapFree:", offsetof(struct host_view, swap_free_bytes), false},
};

static int number_parse(const char *text, uint64_t unit, uint64_t *ret_value)
{
	unsigned long long number;
	uint64_t value;
	char *end;

	if (strspn(text, "0123456789") == 0)
		return -EBADMSG;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || __builtin_mul_overflow((uint64_t)number, unit, &value))
		return -EBADMSG;
	*ret_value = value;
	return 0;
}

static const char *line_find(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (strncmp(line, name, length) == 0)
			return line + length;
	return NULL;
}

int host_meminfo_parse(const char *text, struct host_view *view)
{
	struct host_view parsed = *view;

	for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
		uint64_t *value = (uint64_t *)(void *)((char *)&parsed + lines[i].offset);
		const char *at = line_find(text, lines[i].name);

		*value = 0;
		if (!at && lines[i].is_required)
			return -EBADMSG;
		if (at && number_parse(at + strspn(at, " "), 1024, value) < 0)
			return -EBADMSG;
	}
	if (!parsed.total_bytes)
		return -EBADMSG;
	/* Two numbers of different moments. */
	parsed.available_bytes = MIN2(parsed.available_bytes, parsed.total_bytes);
	parsed.swap_free_bytes = MIN2(parsed.swap_free_bytes, parsed.swap_total_bytes);
	*view = parsed;
	return 0;
}

/* `full avg10=0.00 avg60=0.00 avg300=0.00 total=123`, total in us: Documentation/accounting/psi.rst */
int host_pressure_parse(const char *text, uint64_t *ret_full_ns)
{
	const char *line = line_find(text, "full "), *total = line ? strstr(line, " total=") : NULL;

	if (!total || memchr(line, '\n', (size_t)(total - line)))
		return -EBADMSG;
	return number_parse(total + strlen(" total="), NSEC_PER_USEC, ret_full_ns);
}
