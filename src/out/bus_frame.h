/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_OUT_BUS_FRAME_H
#define GOV_OUT_BUS_FRAME_H

#include "base/macro.h"

/*
 * The D-Bus stream of one client, looked at before sd-bus sees it: sd-bus accepts messages of 128 MiB and allocates
 * what a header promises. Here no header passes that promises more than the limit. D-Bus Specification, "Message
 * Format".
 */

#define BUS_FRAME_BUFFER 4096
#define BUS_FRAME_AUTH_MAX 4096 /* bytes of the authentication's lines; EXTERNAL needs about 60 */

struct bus_frame {
	char bytes[BUS_FRAME_BUFFER];
	size_t length;	  /* bytes in it */
	size_t allowed;	  /* of them may go on */
	size_t remaining; /* of the current message and not yet in `allowed` */
	size_t auth_bytes;
	size_t line;	 /* bytes of the current line, while authenticating */
	bool is_begin;	 /* that line is a head of "BEGIN\r\n" so far */
	bool is_message; /* BEGIN has come: messages */
};

enum bus_frame_step {
	BUS_FRAME_NEED,	   /* more bytes are needed */
	BUS_FRAME_ALLOWED, /* some may go on */
	BUS_FRAME_BEGIN,   /* the same, and they end with the authentication's BEGIN */
	BUS_FRAME_MESSAGE, /* the same, and they begin a message */
};

/* Whether a look at the next bytes may begin a message. */
bool bus_frame_at_boundary(const struct bus_frame *frame);
/* Looks at what is in the buffer, when nothing is allowed yet: a step, -EMSGSIZE (too large), or -EBADMSG. */
int bus_frame_next(struct bus_frame *frame, size_t message_max) _must_check_;
/* n of the allowed bytes have gone on. */
void bus_frame_gone(struct bus_frame *frame, size_t n);

#endif
