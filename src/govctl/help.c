/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govctl.h"

#define HELP_COLUMN 34

static void option_print(const struct option_row *row)
{
	char left[64];
	int n = row->letter ? snprintf(left, sizeof(left), "-%c, --%s", row->letter, row->name)
			    : snprintf(left, sizeof(left), "    --%s", row->name);

	if (row->argument && n > 0 && (size_t)n < sizeof(left))
		snprintf(left + n, sizeof(left) - (size_t)n, row->fallback ? "[=%s]" : " %s", row->argument);
	printf("  %-*s %s\n", HELP_COLUMN, left, row->help);
}

static void options_print(unsigned mask)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (mask & (1U << i))
			option_print(&option_rows[i]);
}

static void verb_label(const struct verb *verb, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s%s%s%s%s", verb->name, verb->sub ? " " : "", verb->sub ? verb->sub : "",
		 *verb->arguments ? " " : "", verb->arguments);
}

void help_print(void)
{
	char label[96];

	printf("govctl [OPTION]... VERB [ARGUMENT]...\n\nAsks and commands govd, which governs agent "
	       "processes.\n\nVerbs:\n");
	for (size_t i = 0; i < n_verbs; i++) {
		if (verbs[i].flags & VERB_HIDDEN)
			continue;
		verb_label(&verbs[i], label, sizeof(label));
		printf("  %-*s %s\n", HELP_COLUMN, label, verbs[i].help);
	}
	printf("\nOptions of every verb:\n");
	options_print(OPTIONS_GLOBAL);
	printf("\n`govctl VERB --help` shows a verb's own. Exit code: 0 done, 1 failed, 2 wrong usage. See "
	       "govctl(1).\n");
}

void help_print_verb(const struct verb *verb)
{
	char label[96];

	verb_label(verb, label, sizeof(label));
	printf("govctl %s\n\n%s\n", label, verb->help);
	if (verb->details)
		printf("\n%s", verb->details);
	if (verb->options) {
		printf("\nOptions:\n");
		options_print(verb->options);
	}
	printf("\nOptions of every verb:\n");
	options_print(OPTIONS_GLOBAL);
}
