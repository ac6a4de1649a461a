/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "since.h"

#include <time.h>

#include "base/unit.h"

static int parse_epoch(const char *text, int64_t *ret_ms)
{
	uint64_t seconds;
	int r = unit_parse_count(text, &seconds);

	if (r < 0)
		return r;
	if (seconds > INT64_MAX / 1000)
		return -ERANGE;
	*ret_ms = (int64_t)seconds * 1000;
	return 0;
}

static int parse_date(const char *text, int64_t *ret_ms)
{
	static const char *const formats[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M",
					      "%Y-%m-%dT%H:%M", "%Y-%m-%d"};

	for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
		struct tm tm = {.tm_isdst = -1}, made;
		const char *rest = strptime(text, formats[i], &tm);
		time_t time;

		if (!rest || (*rest && !streq(rest, "Z")))
			continue;
		made = tm;
		time = *rest ? timegm(&made) : mktime(&made);
		/* The 31st of April would become the 1st of May. */
		if (made.tm_mday != tm.tm_mday || made.tm_mon != tm.tm_mon)
			return -ERANGE;
		*ret_ms = (int64_t)time * 1000;
		return 0;
	}
	return -EINVAL;
}

int since_parse(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	uint64_t ago_ns;
	int r;

	if (text[0] == '@')
		return parse_epoch(text + 1, ret_ms);
	r = unit_parse_duration(text, &ago_ns);
	if (r == -EINVAL)
		return parse_date(text, ret_ms);
	if (r < 0)
		return r;
	*ret_ms = now_ms - (int64_t)MIN2(ago_ns / NSEC_PER_MSEC, (uint64_t)now_ms);
	return 0;
}
