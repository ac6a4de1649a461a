/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/tracer.h"

#include <fcntl.h>

#include "base/log.h"
#include "conf/conf.h"
#include "core/step.h"

#define FLUSH_BYTES (64U << 10)

struct tracer {
	char *file;
	int fd;		    /* -EBADF: it has ended */
	uint64_t bytes;	    /* in the file, whole lines */
	struct text buffer; /* whole lines that aren't there yet */
	struct trace_names names;
	struct trace_reduced reduced;
};

/* One buffer's worth, the longest line behind it. */
#define BUFFER_SIZE (FLUSH_BYTES + TRACE_LINE_MAX)

static void stop(struct tracer *tracer, const char *why)
{
	log_warning("%s ends here: %s", tracer->file, why);
	close(tracer->fd);
	tracer->fd = -EBADF;
	tracer->buffer.length = 0;
}

/*
 * Before the last event, whose decisions may be behind the end: its line begins with the time. What can't be cut is
 * told as broken when it is read.
 */
static void cut_file(struct tracer *tracer, size_t done)
{
	const char *bytes = tracer->buffer.bytes;
	size_t whole = done;

	while (whole && !(bytes[whole - 1] == '\n' && whole < done && bytes[whole] >= '0' && bytes[whole] <= '9'))
		whole--;
	if (ftruncate(tracer->fd, (off_t)(tracer->bytes + whole)) < 0)
		log_debug("can't cut %s: %m", tracer->file);
}

void tracer_flush(struct tracer *tracer)
{
	size_t done = 0;

	while (tracer->fd >= 0 && done < tracer->buffer.length) {
		ssize_t n = write(tracer->fd, tracer->buffer.bytes + done, tracer->buffer.length - done);
		int error = errno;

		if (n < 0 && error == EINTR)
			continue;
		if (n <= 0) {
			cut_file(tracer, done);
			stop(tracer, n < 0 ? strerror(error) : "nothing can be written");
			return;
		}
		done += (size_t)n;
	}
	tracer->bytes += done;
	tracer->buffer.length = 0;
	tracer->buffer.truncated = false;
	if (tracer->fd >= 0 && tracer->bytes >= TRACER_BYTES_MAX)
		stop(tracer, "it is as long as a trace may be");
}

bool tracer_is_waiting(const struct tracer *tracer)
{
	return tracer->buffer.length > 0;
}

/* After each line. */
static void check_room(struct tracer *tracer)
{
	if (tracer->buffer.truncated)
		stop(tracer, "an event is longer than a line may be");
	else if (tracer->buffer.length >= FLUSH_BYTES)
		tracer_flush(tracer);
}

int tracer_new(const char *file, uint64_t seed, struct tracer **ret_tracer)
{
	struct tracer *tracer = calloc(1, sizeof(*tracer));
	int r = -ENOMEM;

	if (!tracer)
		return r;
	tracer->fd = -EBADF;
	tracer->file = strdup(file);
	tracer->buffer = (struct text){.bytes = malloc(BUFFER_SIZE), .size = BUFFER_SIZE};
	if (!tracer->file || !tracer->buffer.bytes)
		goto fail;
	/* For root alone: it tells who runs what. */
	tracer->fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (tracer->fd < 0) {
		r = -errno;
		goto fail;
	}
	text_addf(&tracer->buffer, "govd-trace %d seed=%llu\n", TRACE_VERSION, (unsigned long long)seed);
	*ret_tracer = tracer;
	return 0;
fail:
	tracer_free(tracer);
	return r;
}

struct tracer *tracer_free(struct tracer *tracer)
{
	if (!tracer)
		return NULL;
	tracer_flush(tracer);
	if (tracer->fd >= 0)
		close(tracer->fd);
	trace_names_done(&tracer->names);
	free(tracer->buffer.bytes);
	free(tracer->file);
	free(tracer);
	return NULL;
}

/* ---- policies ---- */

/* Each line behind a tab. */
static void write_yaml(struct tracer *tracer, const char *head, const char *name, const char *yaml)
{
	text_addf(&tracer->buffer, "%s%s\n", head, name);
	while (*yaml) {
		int length = (int)strcspn(yaml, "\n");

		text_addf(&tracer->buffer, "\t%.*s\n", length, yaml);
		check_room(tracer);
		yaml += length + (yaml[length] == '\n');
	}
}

static void write_policies(struct tracer *tracer, const struct policy_set *set)
{
	char *yaml;

	for (size_t i = 0; i < set->n; i++) {
		if (conf_policy_dump(set->policies[i], &yaml) < 0) {
			stop(tracer, "no memory for a policy");
			return;
		}
		write_yaml(tracer, "policy ", set->policies[i]->name, yaml);
		free(yaml);
	}
	if (conf_host_dump(&set->host, &yaml) < 0) {
		stop(tracer, "no memory for the host's configuration");
		return;
	}
	write_yaml(tracer, "host", "", yaml);
	free(yaml);
}

/* ---- events ---- */

/* Where an event has a process; NULL: it has none. */
static struct proc *proc_of(struct event *event)
{
	switch (event->kind) {
	case EVENT_EXEC:
		return &event->exec.proc;
	case EVENT_HOLD:
		return &event->hold.proc;
	case EVENT_SEEN:
		return &event->seen.proc;
	case EVENT_COMMAND:
		return &event->command.proc;
	default:
		return NULL;
	}
}

static void reduce(struct tracer *tracer, const struct policy_set *set, struct event *event)
{
	struct proc *proc = proc_of(event);
	const struct policy *policy = NULL;

	if (!proc)
		return;
	if (set && event->kind == EVENT_COMMAND && event->command.policy)
		policy = policy_set_find(set, event->command.policy);
	if (!trace_reduce(set, policy, proc, &tracer->reduced))
		text_addf(&tracer->buffer,
			  "# process %d: its policy looks at more of its arguments than it matches, and only that is "
			  "kept\n",
			  (int)proc->pid);
	*proc = tracer->reduced.proc;
}

void tracer_event(struct tracer *tracer, const struct state *state, const struct event *event)
{
	struct event reduced = *event;

	if (tracer->fd < 0 || !trace_matters(state, event))
		return;
	if (event->kind == EVENT_POLICIES)
		write_policies(tracer, event->policies.set);
	else
		reduce(tracer, state_policies(state), &reduced);
	trace_encode(&reduced, &tracer->names, &tracer->buffer);
	check_room(tracer);
}

void tracer_actions(struct tracer *tracer, const struct state *state, const struct actions *actions)
{
	if (tracer->fd < 0)
		return;
	trace_names_learn(&tracer->names, state);
	for (size_t i = 0; i < actions->n && tracer->fd >= 0; i++) {
		trace_encode_action(&actions->items[i], &tracer->names, &tracer->buffer);
		check_room(tracer);
	}
	trace_names_forget(&tracer->names, actions);
}
