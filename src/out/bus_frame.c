/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "out/bus_frame.h"

#include <endian.h>

#define HEADER_SIZE 16 /* endianness, type, flags, version; body, serial, fields */
static const char BEGIN[] = "BEGIN\r\n";

bool bus_frame_at_boundary(const struct bus_frame *frame)
{
	return frame->is_message && frame->remaining == 0 && frame->allowed == 0;
}

/* Lines, after a first NUL byte, until one that is BEGIN. */
static int frame_auth(struct bus_frame *frame)
{
	for (size_t i = 0; i < frame->length; i++) {
		char c = frame->bytes[i];

		if (++frame->auth_bytes > BUS_FRAME_AUTH_MAX)
			return -EMSGSIZE;
		if (frame->auth_bytes == 1) {
			if (c != '\0')
				return -EBADMSG;
			frame->is_begin = true;
			continue;
		}
		frame->is_begin = frame->is_begin && frame->line < strlen(BEGIN) && c == BEGIN[frame->line];
		frame->line++;
		if (frame->is_begin && frame->line == strlen(BEGIN)) {
			frame->is_message = true;
			frame->allowed = i + 1;
			return BUS_FRAME_BEGIN;
		}
		if (c == '\n') {
			frame->line = 0;
			frame->is_begin = true;
		}
	}
	frame->allowed = frame->length;
	return frame->allowed ? BUS_FRAME_ALLOWED : BUS_FRAME_NEED;
}

static uint32_t frame_u32(const struct bus_frame *frame, size_t at)
{
	uint32_t value;

	memcpy(&value, frame->bytes + at, sizeof(value));
	return frame->bytes[0] == 'l' ? le32toh(value) : be32toh(value);
}

static int frame_header(struct bus_frame *frame, size_t message_max)
{
	uint64_t size;

	if (frame->length < HEADER_SIZE)
		return BUS_FRAME_NEED;
	if ((frame->bytes[0] != 'l' && frame->bytes[0] != 'B') || frame->bytes[3] != 1)
		return -EBADMSG;
	/* The fields are padded to 8 bytes, the body follows. */
	size = HEADER_SIZE + (((uint64_t)frame_u32(frame, 12) + 7) & ~UINT64_C(7)) + frame_u32(frame, 4);
	if (size > message_max)
		return -EMSGSIZE;
	frame->remaining = (size_t)size;
	return BUS_FRAME_MESSAGE;
}

int bus_frame_next(struct bus_frame *frame, size_t message_max)
{
	int step = BUS_FRAME_ALLOWED;

	if (!frame->is_message)
		return frame_auth(frame);
	if (frame->length == 0)
		return BUS_FRAME_NEED;
	if (frame->remaining == 0)
		step = frame_header(frame, message_max);
	if (step <= BUS_FRAME_NEED)
		return step;
	frame->allowed = MIN2(frame->length, frame->remaining);
	frame->remaining -= frame->allowed;
	return step;
}

void bus_frame_gone(struct bus_frame *frame, size_t n)
{
	frame->length -= n;
	frame->allowed -= n;
	memmove(frame->bytes, frame->bytes + n, frame->length);
}
