/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govctl.h"

/* The completion for bash, from the tables of verbs.c. */

static const char script_head[] =
	"# bash completion for govctl(1), made by `govctl completion bash`\n"
	"\n"
	"# The values of field $2 in what `govctl $1 --json=short` prints.\n"
	"_govctl_values() {\n"
	"\tgovctl \"${__govctl_global[@]}\" $1 --json=short 2>/dev/null |\n"
	"\t\tgrep -o \"\\\"$2\\\":\\\"[A-Za-z0-9._@:-]*\\\"\" | cut -d '\"' -f 4\n"
	"}\n"
	"\n"
	"_govctl_words() {\n"
	"\tlocal cur=$2\n"
	"\tcase $1 in\n"
	"\tagent) COMPREPLY=($(compgen -W \"$(_govctl_values list id)\" -- \"$cur\")) ;;\n"
	"\tpolicy) COMPREPLY=($(compgen -W \"$(_govctl_values 'policy list' name)\" -- \"$cur\")) ;;\n"
	"\tfile) compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
	"\tcommand) COMPREPLY=($(compgen -c -- \"$cur\")) ;;\n"
	"\tjson) COMPREPLY=($(compgen -W 'short pretty off' -- \"$cur\")) ;;\n"
	"\tesac\n"
	"}\n"
	"\n";

static const char script_tail[] =
	"\n"
	"_govctl() {\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} i word verb= wants= n=0\n"
	"\tlocal -a __govctl_global=()\n"
	"\tCOMPREPLY=()\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]}\n"
	"\t\tif [[ $word == '=' ]]; then\n"
	"\t\t\tcontinue\n"
	"\t\telif [[ ${COMP_WORDS[i-1]} == '=' && ${COMP_WORDS[i-2]} == --* ]]; then\n"
	"\t\t\t[[ ${COMP_WORDS[i-2]} == --socket ]] && __govctl_global=(--socket \"$word\")\n"
	"\t\t\twants=\n"
	"\t\telif [[ -n $wants ]]; then\n"
	"\t\t\t[[ $wants == --socket ]] && __govctl_global=(--socket \"$word\")\n"
	"\t\t\twants=\n"
	"\t\telif [[ $word == -- && $verb == run ]]; then\n"
	"\t\t\t((n++))\n"
	"\t\telif [[ $word == -* ]]; then\n"
	"\t\t\t[[ -n ${_govctl_option_words[$word]} ]] && wants=$word\n"
	"\t\telif [[ -z $verb || ( -n ${_govctl_subs[$verb]} && $n == 0 ) ]]; then\n"
	"\t\t\tverb=${verb:+$verb }$word\n"
	"\t\telse\n"
	"\t\t\t((n++))\n"
	"\t\tfi\n"
	"\tdone\n"
	"\tif [[ $verb == run && $n -gt 0 ]]; then\n"
	"\t\tcompopt -o filenames\n"
	"\t\tCOMPREPLY=($(compgen -f -c -- \"$cur\"))\n"
	"\telif [[ $cur == '=' || ( ${COMP_WORDS[COMP_CWORD-1]} == '=' && $COMP_CWORD -gt 2 ) ]]; then\n"
	"\t\ti=1\n"
	"\t\t[[ $cur == '=' ]] && cur= || i=2\n"
	"\t\tword=${COMP_WORDS[COMP_CWORD-i]}\n"
	"\t\t_govctl_words \"${_govctl_option_words[$word]:-${_govctl_optional_words[$word]}}\" \"$cur\"\n"
	"\telif [[ -n $wants ]]; then\n"
	"\t\t_govctl_words \"${_govctl_option_words[$wants]}\" \"$cur\"\n"
	"\telif [[ $cur == -* ]]; then\n"
	"\t\tCOMPREPLY=($(compgen -W \"$_govctl_global_options ${_govctl_options[${verb:-.}]}\" -- \"$cur\"))\n"
	"\telif [[ -z $verb ]]; then\n"
	"\t\tCOMPREPLY=($(compgen -W \"$_govctl_verbs\" -- \"$cur\"))\n"
	"\telif [[ -n ${_govctl_subs[$verb]} ]]; then\n"
	"\t\tCOMPREPLY=($(compgen -W \"${_govctl_subs[$verb]}\" -- \"$cur\"))\n"
	"\telse\n"
	"\t\t_govctl_words \"${_govctl_arguments[$verb]}\" \"$cur\"\n"
	"\tfi\n"
	"}\n"
	"complete -F _govctl govctl\n";

static const char *const word_names[] = {
	[WORD_ANY] = "any",   [WORD_AGENT] = "agent",	  [WORD_POLICY] = "policy",
	[WORD_FILE] = "file", [WORD_COMMAND] = "command", [WORD_JSON] = "json",
};

static bool is_first_of_name(size_t i)
{
	return i == 0 || !streq(verbs[i - 1].name, verbs[i].name);
}

static void options_print(unsigned mask)
{
	for (size_t i = 0; i < OPTIONS; i++) {
		if (!(mask & (1U << i)))
			continue;
		printf("--%s ", option_rows[i].name);
		if (option_rows[i].letter)
			printf("-%c ", option_rows[i].letter);
	}
}

/* Which options take a word, and of what kind. */
static void option_words_print(const char *array, bool is_optional)
{
	printf("declare -gA %s=(", array);
	for (size_t i = 0; i < OPTIONS; i++) {
		const struct option_row *row = &option_rows[i];

		if (!row->argument || (row->fallback != NULL) != is_optional)
			continue;
		printf("[--%s]=%s ", row->name, word_names[row->word]);
		if (row->letter)
			printf("[-%c]=%s ", row->letter, word_names[row->word]);
	}
	printf(")\n");
}

static void verbs_print(void)
{
	printf("_govctl_verbs='");
	for (size_t i = 0; i < n_verbs; i++)
		if (is_first_of_name(i) && !(verbs[i].flags & VERB_HIDDEN))
			printf("%s ", verbs[i].name);
	printf("'\ndeclare -gA _govctl_subs=(");
	for (size_t i = 0; i < n_verbs; i++) {
		if (!verbs[i].sub || verbs[i].flags & VERB_HIDDEN || !is_first_of_name(i))
			continue;
		printf("[%s]='", verbs[i].name);
		for (size_t j = i; j < n_verbs && streq(verbs[j].name, verbs[i].name); j++)
			printf("%s ", verbs[j].sub);
		printf("' ");
	}
	printf(")\ndeclare -gA _govctl_options=(");
	for (size_t i = 0; i < n_verbs; i++) {
		if (!verbs[i].options)
			continue;
		printf("['%s%s%s']='", verbs[i].name, verbs[i].sub ? " " : "", verbs[i].sub ? verbs[i].sub : "");
		options_print(verbs[i].options);
		printf("' ");
	}
	printf(")\ndeclare -gA _govctl_arguments=(");
	for (size_t i = 0; i < n_verbs; i++)
		if (verbs[i].word != WORD_ANY)
			printf("['%s%s%s']=%s ", verbs[i].name, verbs[i].sub ? " " : "",
			       verbs[i].sub ? verbs[i].sub : "", word_names[verbs[i].word]);
	printf(")\n");
}

int verb_completion(const struct context *context)
{
	(void)context;
	fputs(script_head, stdout);
	printf("_govctl_global_options='");
	options_print(OPTIONS_GLOBAL);
	printf("'\n");
	option_words_print("_govctl_option_words", false);
	option_words_print("_govctl_optional_words", true);
	verbs_print();
	fputs(script_tail, stdout);
	return EXIT_SUCCESS;
}
