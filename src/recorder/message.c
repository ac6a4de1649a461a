/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recorder/message.h"

/* The nine strings of an ADD: each terminated, nothing behind the last. */
static int row_decode(const struct gov_incident_message *head, const char *text, size_t size, struct row **ret_row)
{
	_cleanup_free_ struct row *row = NULL;
	size_t at = 0;

	if (size == 0 || size > GOV_INCIDENT_TEXT_MAX || head->time_ms > INT64_MAX)
		return -EBADMSG;
	row = malloc(sizeof(*row) + size);
	if (!row)
		return -ENOMEM;
	memcpy(row->text, text, size);
	row->time_ms = (int64_t)head->time_ms;
	for (size_t i = 0; i < ROW_COLUMNS; i++) {
		size_t length = strnlen(row->text + at, size - at);

		if (length == size - at)
			return -EBADMSG;
		row->columns[i] = row->text + at;
		at += length + 1;
	}
	if (at != size)
		return -EBADMSG;
	*ret_row = TAKE_PTR(row);
	return 0;
}

int message_decode(const void *packet, size_t size, struct message *ret_message)
{
	struct gov_incident_message head = {};
	struct message message = {};
	int r;

	if (size < GOV_INCIDENT_HEAD_SIZE || size > sizeof(head))
		return -EBADMSG;
	memcpy(&head, packet, GOV_INCIDENT_HEAD_SIZE);
	if (head.version != GOV_INCIDENT_VERSION || head.size != size)
		return -EBADMSG;
	message.kind = head.kind;
	switch (head.kind) {
	case GOV_INCIDENT_ADD:
		r = row_decode(&head, (const char *)packet + GOV_INCIDENT_HEAD_SIZE, size - GOV_INCIDENT_HEAD_SIZE,
			       &message.row);
		if (r < 0)
			return r;
		break;
	case GOV_INCIDENT_KEEP:
		message.keep_s = head.keep_s;
		message.keep_max = head.keep_max;
		break;
	default:
		return -EBADMSG;
	}
	*ret_message = message;
	return 0;
}
