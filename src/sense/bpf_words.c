/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/bpf_words.h"

#include <stdarg.h>

#include <bpf/libbpf.h>

#include "base/text.h"
#include "sense/bpf_private.h"

/* libbpf's printer has no userdata. Written in the loader's child only. */
static char *printed; /* BPF_WORDS_MAX */

void bpf_words_last_line(char *log, char *text, size_t size)
{
	char *end = log + strlen(log);

	while (end > log) {
		char *line;

		while (end > log && end[-1] == '\n')
			*--end = '\0';
		line = memrchr(log, '\n', (size_t)(end - log));
		line = line ? line + 1 : log;
		if (*line && strncmp(line, "processed ", strlen("processed ")) != 0) {
			text_copy(text, size, line);
			return;
		}
		end = line;
	}
}

/* libbpf prints the verifier's whole log, framed, after its own complaint: that one's reason is the last line. */
static void print_verifier(const char *format, va_list arguments)
{
	size_t used = strlen(printed);
	char *log, *end;

	if (used + 3 >= BPF_WORDS_MAX || vasprintf(&log, format, arguments) < 0)
		return;
	end = strstr(log, "-- END PROG LOAD LOG");
	if (end)
		*end = '\0';
	memcpy(printed + used, ": ", 3);
	bpf_words_last_line(log, printed + used + 2, BPF_WORDS_MAX - used - 2);
	free(log);
}

/* Keeps the first complaint, without its newline: what follows is its consequence. */
static int print_keep(enum libbpf_print_level level, const char *format, va_list arguments)
{
	static const char begin[] = "-- BEGIN PROG LOAD LOG --";

	if (level != LIBBPF_WARN || !printed)
		return 0;
	if (strstr(format, begin)) {
		print_verifier(format, arguments);
		return 0;
	}
	if (printed[0] || vsnprintf(printed, BPF_WORDS_MAX, format, arguments) < 0)
		return 0;
	printed[strcspn(printed, "\n")] = '\0';
	return 0;
}

void bpf_words_begin(void)
{
	libbpf_set_print(print_keep);
}

void bpf_words_to(char *words)
{
	printed = words;
}
