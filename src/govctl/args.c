/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govctl.h"

#include "gov/bus.h"

/* Parses the command line by the tables of verbs.c: options may stand before and behind the verb. */

struct parser {
	char **argv;
	int argc, next;
	char **words; /* the verb and its arguments */
	size_t n_words;
};

static const struct option_row *option_find(const char *name, size_t length, char letter)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (letter ? option_rows[i].letter == letter
			   : strlen(option_rows[i].name) == length && memcmp(option_rows[i].name, name, length) == 0)
			return &option_rows[i];
	return NULL;
}

/* One option: `--name`, `--name=value`, `--name value`, `-x`, `-xvalue`, `-x value`. */
static int option_parse(struct parser *parser, const char *word, struct context *context)
{
	bool is_long = word[1] == '-';
	size_t length = strcspn(word, "=");
	const struct option_row *row = option_find(word + 2, length - MIN2(length, 2U), is_long ? 0 : word[1]);
	const char *value = NULL;

	if (!row) {
		tell("unknown option %s: see `govctl --help`", word);
		return EXIT_USAGE;
	}
	if (is_long && word[length] == '=')
		value = word + length + 1;
	else if (!is_long && word[2])
		value = word + 2;
	if (!row->argument && value) {
		tell("--%s takes no value: see `govctl --help`", row->name);
		return EXIT_USAGE;
	}
	if (row->argument && !value && row->fallback)
		value = row->fallback;
	if (row->argument && !value && parser->next < parser->argc)
		value = parser->argv[parser->next++];
	if (row->argument && !value) {
		tell("--%s needs a value: --%s %s", row->name, row->name, row->argument);
		return EXIT_USAGE;
	}
	context->options[row - option_rows] = row->argument ? value : "";
	return EXIT_SUCCESS;
}

/* Whether the words so far name a verb whose first argument ends the options, and that argument is there. */
static bool is_rest(const struct parser *parser)
{
	size_t taken;
	const struct verb *verb = verb_find(parser->words, parser->n_words, &taken);

	return verb && (verb->flags & VERB_REST) && parser->n_words > taken;
}

static int words_parse(struct parser *parser, struct context *context)
{
	while (parser->next < parser->argc && !is_rest(parser)) {
		char *word = parser->argv[parser->next++];
		int r;

		if (streq(word, "--"))
			break;
		if (word[0] != '-' || !word[1]) {
			parser->words[parser->n_words++] = word;
			continue;
		}
		r = option_parse(parser, word, context);
		if (r != EXIT_SUCCESS)
			return r;
	}
	while (parser->next < parser->argc)
		parser->words[parser->n_words++] = parser->argv[parser->next++];
	return EXIT_SUCCESS;
}

const struct verb *verb_find(char *const *words, size_t n_words, size_t *ret_taken)
{
	for (size_t i = 0; i < n_verbs && n_words > 0; i++) {
		const struct verb *verb = &verbs[i];

		if (!streq(verb->name, words[0]))
			continue;
		if (verb->sub && (n_words < 2 || !streq(verb->sub, words[1])))
			continue;
		*ret_taken = verb->sub ? 2 : 1;
		return verb;
	}
	return NULL;
}

static void tell_no_verb(char *const *words, size_t n_words)
{
	char subs[256] = "";
	size_t length = 0;

	if (n_words == 0) {
		tell("what shall it do? See `govctl --help` for the verbs");
		return;
	}
	for (size_t i = 0; i < n_verbs; i++)
		if (verbs[i].sub && streq(verbs[i].name, words[0]) && length < sizeof(subs))
			length += (size_t)snprintf(subs + length, sizeof(subs) - length, "%s%s", length ? ", " : "",
						   verbs[i].sub);
	if (length)
		tell("%s needs one of: %s", words[0], subs);
	else
		tell("unknown verb %s: see `govctl --help`", words[0]);
}

static int json_mode_parse(const char *word, enum json_mode *ret_mode)
{
	static const char *const names[] = {
		[JSON_MODE_OFF] = "off", [JSON_MODE_SHORT] = "short", [JSON_MODE_PRETTY] = "pretty"};

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (streq(names[i], word)) {
			*ret_mode = (enum json_mode)i;
			return EXIT_SUCCESS;
		}
	tell("--json is %s: it must be short, pretty or off", word);
	return EXIT_USAGE;
}

static int verb_check(const struct context *context)
{
	const struct verb *verb = context->verb;
	const char *sub = verb->sub ? verb->sub : "", *space = verb->sub ? " " : "";

	for (size_t i = 0; i < OPTIONS; i++)
		if (context->options[i] && !((verb->options | OPTIONS_GLOBAL) & (1U << i))) {
			tell("%s%s%s doesn't take --%s: see `govctl %s%s%s --help`", verb->name, space, sub,
			     option_rows[i].name, verb->name, space, sub);
			return EXIT_USAGE;
		}
	if (context->n_args < verb->min || context->n_args > verb->max) {
		tell("too %s arguments: govctl %s%s%s %s", context->n_args < verb->min ? "few" : "many", verb->name,
		     space, sub, verb->arguments);
		return EXIT_USAGE;
	}
	return EXIT_SUCCESS;
}

int args_parse(int argc, char **argv, struct context *ret_context)
{
	struct parser parser = {.argv = argv, .argc = argc, .next = 1};
	struct context *context = ret_context;
	const char *socket = getenv("GOVD_SOCKET");
	size_t taken = 0;
	int r;

	*context = (struct context){};
	parser.words = calloc((size_t)argc + 1, sizeof(*parser.words));
	if (!parser.words) {
		tell("out of memory");
		return EXIT_FAILURE;
	}
	context->args = parser.words;
	r = words_parse(&parser, context);
	if (r != EXIT_SUCCESS)
		return r;
	if (context->options[OPTION_JSON])
		r = json_mode_parse(context->options[OPTION_JSON], &context->json);
	if (r != EXIT_SUCCESS)
		return r;
	context->socket = str_empty(socket) ? GOV_DEFAULT_RUNTIME_DIR "/" GOV_BUS_SOCKET : socket;
	if (context->options[OPTION_SOCKET])
		context->socket = context->options[OPTION_SOCKET];
	context->verb = verb_find(parser.words, parser.n_words, &taken);
	if (!context->verb) {
		bool asks = context->options[OPTION_HELP] || context->options[OPTION_VERSION];

		if (asks && parser.n_words == 0)
			return EXIT_SUCCESS;
		tell_no_verb(parser.words, parser.n_words);
		return EXIT_USAGE;
	}
	context->n_args = parser.n_words - taken;
	memmove(context->args, context->args + taken, (context->n_args + 1) * sizeof(*context->args));
	return context->options[OPTION_HELP] ? EXIT_SUCCESS : verb_check(context);
}

void args_done(struct context *context)
{
	free(context->args);
	context->args = NULL;
}
