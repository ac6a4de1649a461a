/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/unit.h"

#include <ctype.h>
#include <inttypes.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Largest first: the formatters take the first that divides. */
static const struct unit duration_units[] = {
	{"d", 86400 * NSEC_PER_SEC},
	{"h", 3600 * NSEC_PER_SEC},
	{"min", 60 * NSEC_PER_SEC},
	{"s", NSEC_PER_SEC},
	{"ms", NSEC_PER_MSEC},
	{"us", NSEC_PER_USEC},
	{"ns", 1},
};

static const struct unit size_units[] = {
	{"T", UINT64_C(1) << 40}, {"G", UINT64_C(1) << 30}, {"M", UINT64_C(1) << 20}, {"K", UINT64_C(1) << 10}, {"", 1},
};

static const struct unit per_units[] = {
	{"d", 86400 * NSEC_PER_SEC},
	{"h", 3600 * NSEC_PER_SEC},
	{"min", 60 * NSEC_PER_SEC},
	{"s", NSEC_PER_SEC},
};

static const struct unit *unit_find(const struct unit *units, size_t n, const char *word, size_t length)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(units[i].suffix) == length && memcmp(units[i].suffix, word, length) == 0)
			return &units[i];
	return NULL;
}

/* Digits with at most 9 decimals: whole and billionths. Returns the end, or NULL. */
static const char *number_parse(const char *s, uint64_t *ret_whole, uint64_t *ret_billionths, int *ret_error)
{
	uint64_t whole = 0, fraction = 0, scale = 100000000;

	*ret_error = -EINVAL;
	if (!isdigit((unsigned char)*s))
		return NULL;
	for (; isdigit((unsigned char)*s); s++)
		if (__builtin_mul_overflow(whole, UINT64_C(10), &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*s - '0'), &whole)) {
			*ret_error = -ERANGE;
			return NULL;
		}
	if (*s == '.') {
		s++;
		if (!isdigit((unsigned char)*s))
			return NULL;
		for (; isdigit((unsigned char)*s); s++, scale /= 10)
			fraction += scale * (uint64_t)(*s - '0');
	}
	*ret_whole = whole;
	*ret_billionths = fraction;
	return s;
}

static int unit_scale(uint64_t whole, uint64_t billionths, uint64_t factor, uint64_t *ret_value)
{
	unsigned __int128 value =
		(unsigned __int128)whole * factor + (unsigned __int128)billionths * factor / NSEC_PER_SEC;

	/* UINT64_MAX is kept for UNIT_INFINITY. */
	if (value >= UINT64_MAX)
		return -ERANGE;
	*ret_value = (uint64_t)value;
	return 0;
}

int unit_parse_duration(const char *text, uint64_t *ret_ns)
{
	uint64_t total = 0;
	const char *s = text;

	if (streq(text, "0")) {
		*ret_ns = 0;
		return 0;
	}
	do {
		uint64_t whole, billionths, part;
		const struct unit *unit;
		size_t length;
		int r;

		s = number_parse(s, &whole, &billionths, &r);
		if (!s)
			return r;
		length = strcspn(s, " 0123456789");
		unit = unit_find(duration_units, ELEMENTSOF(duration_units), s, length);
		if (!unit)
			return -EINVAL;
		r = unit_scale(whole, billionths, unit->factor, &part);
		if (r < 0)
			return r;
		if (__builtin_add_overflow(total, part, &total))
			return -ERANGE;
		s += length;
		s += *s == ' ' && s[1];
	} while (*s);
	*ret_ns = total;
	return 0;
}

int unit_parse_size(const char *text, uint64_t total_bytes, uint64_t *ret_bytes)
{
	uint64_t whole, billionths;
	const struct unit *unit;
	const char *s;
	int r;

	if (streq(text, "infinity")) {
		*ret_bytes = UNIT_INFINITY;
		return 0;
	}
	s = number_parse(text, &whole, &billionths, &r);
	if (!s)
		return r;
	if (streq(s, "%")) {
		if (whole > 100 || (whole == 100 && billionths))
			return -ERANGE;
		billionths += whole * NSEC_PER_SEC;
		return unit_scale(0, billionths / 100, total_bytes, ret_bytes);
	}
	unit = unit_find(size_units, ELEMENTSOF(size_units), s, strlen(s));
	if (!unit || (unit->factor == 1 && billionths))
		return -EINVAL;
	return unit_scale(whole, billionths, unit->factor, ret_bytes);
}

int unit_parse_percent(const char *text, uint32_t *ret_pct)
{
	uint64_t whole, billionths;
	const char *s;
	int r;

	s = number_parse(text, &whole, &billionths, &r);
	if (!s)
		return r;
	if (!streq(s, "%") || billionths)
		return -EINVAL;
	if (whole < 1 || whole > 100000)
		return -ERANGE;
	*ret_pct = (uint32_t)whole;
	return 0;
}

int unit_parse_count(const char *text, uint64_t *ret_count)
{
	uint64_t whole, billionths;
	const char *s;
	int r;

	s = number_parse(text, &whole, &billionths, &r);
	if (!s)
		return r;
	if (*s || strchr(text, '.'))
		return -EINVAL;
	*ret_count = whole;
	return 0;
}

int unit_parse_rate(const char *text, uint64_t *ret_count, uint64_t *ret_per_ns)
{
	uint64_t whole, billionths;
	const struct unit *unit;
	const char *s;
	int r;

	s = number_parse(text, &whole, &billionths, &r);
	if (!s)
		return r;
	if (*s != '/' || billionths)
		return -EINVAL;
	unit = unit_find(per_units, ELEMENTSOF(per_units), s + 1, strlen(s + 1));
	if (!unit)
		return -EINVAL;
	if (whole == 0)
		return -ERANGE;
	*ret_count = whole;
	*ret_per_ns = unit->factor;
	return 0;
}

static void unit_format(char *buffer, size_t size, uint64_t value, const struct unit *units, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (value && value % units[i].factor == 0) {
			snprintf(buffer, size, "%" PRIu64 "%s", value / units[i].factor, units[i].suffix);
			return;
		}
	snprintf(buffer, size, "0");
}

void unit_format_duration(char *buffer, size_t size, uint64_t ns)
{
	unit_format(buffer, size, ns, duration_units, ELEMENTSOF(duration_units));
}

void unit_format_size(char *buffer, size_t size, uint64_t bytes)
{
	if (bytes == UNIT_INFINITY)
		snprintf(buffer, size, "infinity");
	else
		unit_format(buffer, size, bytes, size_units, ELEMENTSOF(size_units));
}

void unit_format_duration_rough(char *buffer, size_t size, uint64_t ns)
{
	uint64_t s = ns / NSEC_PER_SEC;

	if (s >= 86400)
		snprintf(buffer, size, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(buffer, size, "%" PRIu64 "h %" PRIu64 "min", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(buffer, size, "%" PRIu64 "min %" PRIu64 "s", s / 60, s % 60);
	else if (s >= 10 || ns % NSEC_PER_SEC == 0)
		snprintf(buffer, size, "%" PRIu64 "s", s);
	else
		snprintf(buffer, size, "%.1fs", (double)ns / (double)NSEC_PER_SEC);
}

void unit_format_size_rough(char *buffer, size_t size, uint64_t bytes)
{
	if (bytes == UNIT_INFINITY) {
		snprintf(buffer, size, "infinity");
		return;
	}
	for (size_t i = 0; i + 1 < ELEMENTSOF(size_units); i++)
		if (bytes >= size_units[i].factor) {
			snprintf(buffer, size, "%.1f%s", (double)bytes / (double)size_units[i].factor,
				 size_units[i].suffix);
			return;
		}
	snprintf(buffer, size, "%" PRIu64 "B", bytes);
}
