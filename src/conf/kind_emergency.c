/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/value.h"

/* Kinds of the values of govd.yaml's emergency. */

#define SHARE_MIN_BYTES (UINT64_C(1) << 20)
#define FOR_MIN_NS (500 * NSEC_PER_MSEC) /* the kernel's shortest window of pressure, kernel/sched/psi.c */
#define FOR_MAX_NS (60 * NSEC_PER_SEC)

const struct conf_value_kind conf_kind_pressure = {
	CONF_PERCENT,
	.max = 100,
	.none = "off",
	.wrong = "is not a share of time; write a whole percentage, such as 20%, or off",
	.range = "is out of range; write 1% to 100%, or off",
};

static int share_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host,
		       void *ret_value)
{
	struct host_share share = {0};
	int r;

	if (streq(text, kind->none) || (*text && text[strlen(text) - 1] == '%'))
		r = conf_percent_parse(kind, text, host, &share.pct);
	else
		r = unit_parse_size(text, 0, &share.bytes);
	if (r < 0)
		return r;
	if (share.bytes && (share.bytes < SHARE_MIN_BYTES || share.bytes == UNIT_INFINITY))
		return -ERANGE;
	if (!share.bytes && !share.pct && !streq(text, kind->none))
		return -ERANGE;
	*(struct host_share *)ret_value = share;
	return 0;
}

static void share_format(const struct conf_value_kind *kind, const void *value, char *buffer, size_t size)
{
	const struct host_share *share = value;

	if (share->bytes)
		unit_format_size(buffer, size, share->bytes);
	else
		conf_percent_format(kind, &share->pct, buffer, size);
}

const struct conf_value_kind conf_kind_share = {
	.parse = share_parse,
	.format = share_format,
	.max = 100, /* percent */
	.none = "off",
	.wrong = "is not a part of the host's memory; write a percentage or a size, such as 5% or 500M, or off",
	.range = "is out of range; write 1% to 100%, a size of 1M or more, or off",
};

const struct conf_value_kind conf_kind_for = {
	CONF_TIME,
	.min = FOR_MIN_NS,
	.max = FOR_MAX_NS,
	.wrong = "is not a time; write a number with ms or s, such as 5s",
	.range = "is out of range; write 500ms to 1min, such as 5s",
};

const struct conf_value_kind conf_kind_kills = {
	CONF_NUMBER,
	.max = EMERGENCY_KILLS_MAX,
	.wrong = "is not a number; write one such as 3",
	.range = "is out of range; write 0 (nobody is ended) to 60",
};
