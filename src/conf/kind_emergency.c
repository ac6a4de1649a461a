/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>

#include "base/text.h"
#include "conf/value.h"

/* Kinds of the values of govd.yaml's emergency. */

#define SHARE_MIN_BYTES (UINT64_C(1) << 20)
#define FOR_MIN_NS (500 * NSEC_PER_MSEC) /* the kernel's shortest window of pressure, kernel/sched/psi.c */
#define FOR_MAX_NS (60 * NSEC_PER_SEC)

static int percent_parse(const char *text, uint32_t *ret_pct)
{
	uint32_t pct = 0;
	int r = streq(text, "off") ? 0 : unit_parse_percent(text, &pct);

	if (r < 0)
		return r;
	if (pct > 100)
		return -ERANGE;
	*ret_pct = pct;
	return 0;
}

static int share_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	struct host_share share = {0};
	int r;

	if (streq(text, "off") || (*text && text[strlen(text) - 1] == '%'))
		r = percent_parse(text, &share.pct);
	else
		r = unit_parse_size(text, 0, &share.bytes);
	if (r < 0)
		return r;
	if (share.bytes && (share.bytes < SHARE_MIN_BYTES || share.bytes == UNIT_INFINITY))
		return -ERANGE;
	if (!share.bytes && !share.pct && !streq(text, "off"))
		return -ERANGE;
	*(struct host_share *)ret_value = share;
	return 0;
}

static void share_format(const void *value, char *buffer, size_t size)
{
	const struct host_share *share = value;

	if (share->bytes)
		unit_format_size(buffer, size, share->bytes);
	else if (share->pct)
		snprintf(buffer, size, "%" PRIu32 "%%", share->pct);
	else
		text_copy(buffer, size, "off");
}

const struct conf_value_kind conf_kind_share = {
	share_parse, share_format,
	"is not a part of the host's memory; write a percentage or a size, such as 5% or 500M, or off",
	"is out of range; write 1% to 100%, a size of 1M or more, or off"};

static int pressure_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	return percent_parse(text, ret_value);
}

static void pressure_format(const void *value, char *buffer, size_t size)
{
	uint32_t pct = *(const uint32_t *)value;

	if (pct)
		snprintf(buffer, size, "%" PRIu32 "%%", pct);
	else
		text_copy(buffer, size, "off");
}

const struct conf_value_kind conf_kind_pressure = {
	pressure_parse, pressure_format, "is not a share of time; write a whole percentage, such as 20%, or off",
	"is out of range; write 1% to 100%, or off"};

static int for_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	uint64_t ns;
	int r = unit_parse_duration(text, &ns);

	if (r < 0)
		return r;
	if (ns < FOR_MIN_NS || ns > FOR_MAX_NS)
		return -ERANGE;
	*(uint64_t *)ret_value = ns;
	return 0;
}

static void for_format(const void *value, char *buffer, size_t size)
{
	unit_format_duration(buffer, size, *(const uint64_t *)value);
}

const struct conf_value_kind conf_kind_for = {for_parse, for_format,
					      "is not a time; write a number with ms or s, such as 5s",
					      "is out of range; write 500ms to 1min, such as 5s"};

static int kills_parse(const char *text, const struct conf_host *host _unused_, void *ret_value)
{
	uint64_t count;
	int r = unit_parse_count(text, &count);

	if (r < 0)
		return r;
	if (count > EMERGENCY_KILLS_MAX)
		return -ERANGE;
	*(uint32_t *)ret_value = (uint32_t)count;
	return 0;
}

static void kills_format(const void *value, char *buffer, size_t size)
{
	snprintf(buffer, size, "%" PRIu32, *(const uint32_t *)value);
}

const struct conf_value_kind conf_kind_kills = {kills_parse, kills_format, "is not a number; write one such as 3",
						"is out of range; write 0 (nobody is ended) to 60"};
