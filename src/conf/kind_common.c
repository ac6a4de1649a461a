/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>

#include "base/text.h"
#include "conf/value.h"

/* What most kinds are made of: the row says which words and numbers it takes. */

static bool is_none(const struct conf_value_kind *kind, const char *text)
{
	return kind->none && streq(text, kind->none);
}

static int number_parse(const struct conf_value_kind *kind, const char *text,
			int (*parse)(const char *text, uint64_t *ret_number), uint64_t *ret_number)
{
	uint64_t number = kind->none_value;
	int r = is_none(kind, text) ? 0 : parse(text, &number);

	if (r < 0)
		return r;
	if (!is_none(kind, text) && (number < kind->min || number > kind->max))
		return -ERANGE;
	*ret_number = number;
	return 0;
}

/* True: it was the word for none. */
static bool none_format(const struct conf_value_kind *kind, uint64_t number, char *buffer, size_t size)
{
	if (!kind->none || number != kind->none_value)
		return false;
	text_copy(buffer, size, kind->none);
	return true;
}

int conf_time_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host _unused_,
		    void *ret_value)
{
	return number_parse(kind, text, unit_parse_duration, ret_value);
}

void conf_time_format(const struct conf_value_kind *kind, const void *value, char *buffer, size_t size)
{
	uint64_t ns = *(const uint64_t *)value;

	if (!none_format(kind, ns, buffer, size))
		unit_format_duration(buffer, size, ns);
}

int conf_count_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host _unused_,
		     void *ret_value)
{
	return number_parse(kind, text, unit_parse_count, ret_value);
}

void conf_count_format(const struct conf_value_kind *kind, const void *value, char *buffer, size_t size)
{
	uint64_t count = *(const uint64_t *)value;

	if (!none_format(kind, count, buffer, size))
		snprintf(buffer, size, "%" PRIu64, count);
}

int conf_number_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host _unused_,
		      void *ret_value)
{
	uint64_t number;
	int r = number_parse(kind, text, unit_parse_count, &number);

	if (r == 0)
		*(uint32_t *)ret_value = (uint32_t)number;
	return r;
}

void conf_number_format(const struct conf_value_kind *kind, const void *value, char *buffer, size_t size)
{
	uint32_t number = *(const uint32_t *)value;

	if (!none_format(kind, number, buffer, size))
		snprintf(buffer, size, "%" PRIu32, number);
}

static int pct_parse(const char *text, uint64_t *ret_pct)
{
	uint32_t pct;
	int r = unit_parse_percent(text, &pct);

	if (r == 0)
		*ret_pct = pct;
	return r;
}

int conf_percent_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host _unused_,
		       void *ret_value)
{
	uint64_t pct;
	int r = number_parse(kind, text, pct_parse, &pct);

	if (r == 0)
		*(uint32_t *)ret_value = (uint32_t)pct;
	return r;
}

void conf_percent_format(const struct conf_value_kind *kind, const void *value, char *buffer, size_t size)
{
	uint32_t pct = *(const uint32_t *)value;

	if (!none_format(kind, pct, buffer, size))
		snprintf(buffer, size, "%" PRIu32 "%%", pct);
}

_Static_assert(sizeof(enum policy_mode) == sizeof(unsigned), "a word's number is stored as any of the enums");

int conf_word_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host _unused_,
		    void *ret_value)
{
	for (unsigned i = 0; kind->words[i]; i++)
		if (streq(text, kind->words[i])) {
			*(unsigned *)ret_value = i;
			return 0;
		}
	return -EINVAL;
}

void conf_word_format(const struct conf_value_kind *kind, const void *value, char *buffer, size_t size)
{
	text_copy(buffer, size, kind->words[*(const unsigned *)value]);
}

int conf_milli_parse(const struct conf_value_kind *kind, const char *text, size_t length, uint64_t *ret_milli)
{
	char seconds[32];
	uint64_t ns;
	int r;

	/* A decimal number, as those of times are. */
	if (strspn(text, "0123456789.") < length)
		return -EINVAL;
	if (snprintf(seconds, sizeof(seconds), "%.*ss", (int)length, text) >= (int)sizeof(seconds))
		return -ERANGE;
	r = unit_parse_duration(seconds, &ns);
	if (r < 0)
		return r;
	if (ns < kind->min * NSEC_PER_MSEC || ns > kind->max * NSEC_PER_MSEC)
		return -ERANGE;
	if (ns % NSEC_PER_MSEC)
		return -EINVAL;
	*ret_milli = ns / NSEC_PER_MSEC;
	return 0;
}

void conf_milli_format(uint64_t milli, char *buffer, size_t size)
{
	uint64_t fraction = milli % 1000;
	int decimals = 3;

	for (; decimals && fraction % 10 == 0; decimals--)
		fraction /= 10;
	if (decimals)
		snprintf(buffer, size, "%" PRIu64 ".%0*" PRIu64, milli / 1000, decimals, fraction);
	else
		snprintf(buffer, size, "%" PRIu64, milli / 1000);
}
