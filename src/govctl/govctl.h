/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVCTL_GOVCTL_H
#define GOV_GOVCTL_GOVCTL_H

#include <jansson.h>

#include "base/macro.h"

/* What verbs share: the parsed command line, the tables of verbs and options, messages. */

/* Beside EXIT_SUCCESS and EXIT_FAILURE. */
#define EXIT_USAGE 2
#define EXIT_NOT_EXECUTABLE 126 /* as shells and env(1) have it */
#define EXIT_NOT_FOUND 127

enum json_mode { JSON_MODE_OFF, JSON_MODE_SHORT, JSON_MODE_PRETTY };

enum option_id {
	/* Of every verb. */
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_SOCKET,
	OPTION_STATE_DIR,
	OPTION_JSON,
	/* Of those verbs that list them. */
	OPTION_POLICY,
	OPTION_KEY,
	OPTION_REUSE,
	OPTION_WAIT,
	OPTION_FOLLOW,
	OPTION_SINCE,
	OPTION_KIND,
	OPTION_AGENT,
	OPTION_COUNT,
	OPTION_POLICY_DIR,
	OPTION_EXPECT,
	OPTIONS,
};

#define OPTION_BIT(id) (1U << (id))
#define OPTIONS_GLOBAL (OPTION_BIT(OPTION_POLICY) - 1)

/* What completes an argument. */
enum word_kind { WORD_ANY, WORD_AGENT, WORD_POLICY, WORD_FILE, WORD_COMMAND, WORD_JSON };

struct option_row {
	const char *name;
	char letter;	      /* 0: none */
	const char *argument; /* for the help; NULL: takes none */
	const char *fallback; /* the value when none is given; NULL: one is required */
	enum word_kind word;
	const char *help;
};

/* Indexed by enum option_id. */
extern const struct option_row option_rows[OPTIONS];

struct context {
	const struct verb *verb;
	const char *options[OPTIONS]; /* NULL: not given; "" for one without an argument */
	char **args;		      /* behind the verb, NULL-terminated */
	size_t n_args;
	enum json_mode json;
	const char *socket;
};

enum verb_flags {
	VERB_REST = 1 << 0,   /* the first argument ends the options: the rest belongs to a command */
	VERB_HIDDEN = 1 << 1, /* not in the help, not completed */
};

struct verb {
	const char *name, *sub; /* sub: the second word, NULL none */
	const char *arguments;
	size_t min, max;  /* number of arguments */
	unsigned options; /* OPTION_BITs beside OPTIONS_GLOBAL */
	unsigned flags;
	enum word_kind word; /* of the arguments */
	int (*run)(const struct context *context);
	const char *help;
	const char *details; /* more lines for `govctl VERB --help`; NULL none */
};

extern const struct verb verbs[];
extern const size_t n_verbs;

/* NULL and *ret_message (static or in the buffer) when there is none. Takes one or two words off args. */
const struct verb *verb_find(char *const *words, size_t n_words, size_t *ret_taken);

/* The command line. EXIT_SUCCESS, or EXIT_USAGE when it was told what is wrong. */
int args_parse(int argc, char **argv, struct context *ret_context) _must_check_;
void args_done(struct context *context);

/* `govctl: ...` on stderr, escaped. A sentence that says what to do. */
void tell(const char *format, ...) _printf_(1, 2);

void help_print(void);
void help_print_verb(const struct verb *verb);

/* The verbs, one file each. They return the exit code. */
int verb_status(const struct context *context);
int verb_list(const struct context *context);
int verb_show(const struct context *context);
int verb_run(const struct context *context);
int verb_adopt(const struct context *context);
int verb_command(const struct context *context); /* release freeze thaw stop kill */
int verb_touch(const struct context *context);
int verb_lease(const struct context *context);
int verb_drain(const struct context *context);
int verb_policy_resume(const struct context *context);
int verb_policy_list(const struct context *context);
int verb_policy_show(const struct context *context);
int verb_policy_check(const struct context *context);
int verb_simulate(const struct context *context);
int verb_policy_test(const struct context *context);
int verb_policy_reload(const struct context *context);
int verb_explain(const struct context *context);
int verb_events(const struct context *context);
int verb_incidents(const struct context *context);
int verb_doctor(const struct context *context);
int verb_version(const struct context *context);
int verb_completion(const struct context *context);

#endif
