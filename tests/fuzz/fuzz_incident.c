/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What govd-recorder reads from its socket. The decoder is all of it that looks at bytes. */
#include <assert.h>

/* Fuzzers are linked with base, core and conf; the recorder is a program of its own. */
#include "recorder/message.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* As long as the packet and no longer, so that the sanitizer sees each byte read beyond it. */
	_cleanup_free_ uint8_t *packet = malloc(size + !size);
	struct message message = {};

	if (!packet)
		return 0;
	if (size)
		memcpy(packet, data, size);
	/* The fields without which nothing else would be reached. */
	if (size >= GOV_INCIDENT_HEAD_SIZE) {
		struct gov_incident_message head = {};

		memcpy(&head, packet, GOV_INCIDENT_HEAD_SIZE);
		if (head.kind & 0x8000) {
			head.kind = GOV_INCIDENT_ADD + (head.kind & 1);
			head.version = GOV_INCIDENT_VERSION;
			head.size = (uint32_t)size;
			memcpy(packet, &head, GOV_INCIDENT_HEAD_SIZE);
		}
	}
	if (message_decode(packet, size, &message) == 0 && message.kind == GOV_INCIDENT_ADD) {
		size_t length = 0;

		for (size_t i = 0; i < ROW_COLUMNS; i++)
			length += strlen(message.row->columns[i]) + 1;
		assert(length == size - GOV_INCIDENT_HEAD_SIZE);
		free(message.row);
	}
	return 0;
}
