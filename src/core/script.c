/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/proc.h"

#include "base/text.h"

/*
 * Which argument is the script? By the manual of each interpreter: python(1), node --help, deno run --help,
 * bun --help, bash(1), dash(1), zshmisc(1), fish(1), perlrun(1), ruby(1), php(1), lua(1).
 *
 * Short options come in clusters (`-uW ignore`). What a letter of a cluster does:
 * - in `none`: code comes from elsewhere (`-c`, `-e`, `-m`), there is no script;
 * - in `value`: the rest of the cluster, or else the next argument, is its value;
 * - in `rest`: the rest of the cluster, maybe nothing, is its value;
 * - in `script`: its value is the script (php -f).
 */
struct interpreter {
	const char *stem;    /* its base name but for a version */
	bool is_unclustered; /* short options are whole words */
	bool has_plus;	     /* `+o` is an option, too */
	const char *none, *value, *rest, *script;
	const char *const *long_none, *const *long_value, *const *long_script;
	const char *const *verbs;      /* words that may come before the script */
	const char *const *verbs_none; /* words that mean that there is none */
};

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

#define PYTHON .none = "cm", .value = "WX", .long_value = WORDS("--check-hash-based-pycs")
#define NODE                                                                                                           \
	.is_unclustered = true, .none = "ep", .value = "rC",                                                           \
	.long_none = WORDS("--eval", "--print", "-pe", "--interactive", "--run"),                                      \
	.long_value = WORDS(                                                                                           \
		"--require", "--import", "--loader", "--experimental-loader", "--conditions", "--env-file",            \
		"--env-file-if-exists", "--input-type", "--inspect-port", "--debug-port", "--title", "--icu-data-dir", \
		"--openssl-config", "--redirect-warnings", "--trace-event-categories", "--trace-event-file-pattern",   \
		"--diagnostic-dir", "--report-dir", "--report-directory", "--report-filename", "--report-signal",      \
		"--dns-result-order", "--unhandled-rejections", "--disable-warning", "--heapsnapshot-signal",          \
		"--heapsnapshot-near-heap-limit", "--cpu-prof-dir", "--cpu-prof-name", "--cpu-prof-interval",          \
		"--heap-prof-dir", "--heap-prof-name", "--heap-prof-interval", "--secure-heap", "--secure-heap-min",   \
		"--max-http-header-size", "--watch-path", "--test-name-pattern", "--test-reporter",                    \
		"--test-reporter-destination", "--localstorage-file", "--tls-cipher-list", "--tls-keylog",             \
		"--v8-pool-size", "--use-largepages", "--disable-proto", "--experimental-default-type",                \
		"--experimental-config-file")
#define SHELL .has_plus = true, .none = "cs", .value = "oO", .long_value = WORDS("--rcfile", "--init-file", "--emulate")

static const struct interpreter interpreters[] = {
	{.stem = "python", PYTHON},
	{.stem = "pypy", PYTHON},
	{.stem = "node", NODE},
	{.stem = "nodejs", NODE},
	{.stem = "deno",
	 .is_unclustered = true,
	 .value = "cL",
	 .long_value = WORDS("--config", "--import-map", "--location", "--seed", "--cert", "--log-level", "--port",
			     "--host", "--preload", "--ext"),
	 .verbs = WORDS("run", "serve", "test", "bench"),
	 .verbs_none = WORDS("eval", "repl", "task", "install", "uninstall", "add", "remove", "cache", "check",
			     "compile", "fmt", "lint", "lsp", "info", "init", "jupyter", "publish", "upgrade", "types",
			     "doc", "coverage", "completions", "help", "clean", "outdated", "vendor", "x")},
	{.stem = "bun",
	 .is_unclustered = true,
	 .none = "ep",
	 .value = "rdlc",
	 .long_none = WORDS("--eval", "--print"),
	 .long_value = WORDS("--preload", "--require", "--import", "--cwd", "--config", "--env-file", "--define",
			     "--loader", "--port", "--filter", "--conditions", "--tsconfig-override"),
	 .verbs = WORDS("run"),
	 .verbs_none = WORDS("x", "install", "i", "add", "a", "remove", "rm", "update", "link", "unlink", "test",
			     "build", "init", "create", "c", "pm", "repl", "upgrade", "exec", "outdated", "publish",
			     "patch", "info", "audit", "why", "help")},
	{.stem = "sh", SHELL},
	{.stem = "bash", SHELL},
	{.stem = "rbash", SHELL},
	{.stem = "dash", SHELL},
	{.stem = "ash", SHELL},
	{.stem = "zsh", SHELL},
	{.stem = "ksh", SHELL},
	{.stem = "mksh", SHELL},
	{.stem = "fish",
	 .none = "c",
	 .value = "Cdofp",
	 .long_none = WORDS("--command"),
	 .long_value = WORDS("--init-command", "--debug", "--debug-output", "--features", "--profile")},
	{.stem = "perl", .none = "eE", .value = "I", .rest = "MmFixCD0lVdA"},
	{.stem = "ruby",
	 .none = "e",
	 .value = "IrCE",
	 .rest = "WFKTxi0",
	 .long_value = WORDS("--encoding", "--external-encoding", "--internal-encoding", "--enable", "--disable")},
	{.stem = "php",
	 .none = "rBRFESam",
	 .value = "cdztg",
	 .script = "f",
	 .long_none = WORDS("--run", "--process-begin", "--process-code", "--process-file", "--process-end", "--server",
			    "--interactive"),
	 .long_value = WORDS("--php-ini", "--define", "--zend-extension", "--docroot"),
	 .long_script = WORDS("--file")},
	{.stem = "lua", .value = "el", .rest = "W"},
	{.stem = "luajit", .none = "b", .value = "el", .rest = "jO"},
	{.stem = "tclsh", .value = ""},
};

static bool words_have(const char *const *words, const char *word, size_t length)
{
	for (; words && *words; words++)
		if (strlen(*words) == length && memcmp(*words, word, length) == 0)
			return true;
	return false;
}

static bool letter_in(const char *letters, char letter)
{
	return letters && letter && strchr(letters, letter);
}

/* What may follow the stem: a version, and the flavours of python's builds (`3.13t`, `3.11-dbg`). */
static bool is_version(const char *s)
{
	s += strspn(s, "0123456789.-");
	return !*s || streq(s, "t") || streq(s, "d") || streq(s, "m") || streq(s, "dbg");
}

static const struct interpreter *interpreter_find(const char *basename)
{
	for (size_t i = 0; i < ELEMENTSOF(interpreters); i++) {
		size_t n = strlen(interpreters[i].stem);

		if (strncmp(basename, interpreters[i].stem, n) == 0 && is_version(basename + n))
			return &interpreters[i];
	}
	return NULL;
}

bool proc_is_interpreter(const char *exe_basename)
{
	return interpreter_find(exe_basename) != NULL;
}

enum option_effect {
	OPTION_FLAG,
	OPTION_VALUE,  /* the next argument is its value */
	OPTION_NONE,   /* no script */
	OPTION_SCRIPT, /* the next argument is the script */
};

static enum option_effect long_effect(const struct interpreter *in, const char *option)
{
	size_t n = strcspn(option, "=");
	bool has_value = option[n] == '=';

	if (words_have(in->long_none, option, n))
		return OPTION_NONE;
	/* `--file=x`: the script isn't an argument of its own, so that there is no index to tell. */
	if (words_have(in->long_script, option, n))
		return has_value ? OPTION_NONE : OPTION_SCRIPT;
	return !has_value && words_have(in->long_value, option, n) ? OPTION_VALUE : OPTION_FLAG;
}

static enum option_effect short_effect(const struct interpreter *in, const char *option)
{
	for (const char *s = option + 1; *s; s++) {
		if (letter_in(in->none, *s))
			return OPTION_NONE;
		if (letter_in(in->script, *s))
			return s[1] ? OPTION_NONE : OPTION_SCRIPT;
		if (letter_in(in->value, *s))
			return s[1] ? OPTION_FLAG : OPTION_VALUE;
		if (letter_in(in->rest, *s) || in->is_unclustered)
			break;
	}
	return OPTION_FLAG;
}

static enum option_effect option_effect(const struct interpreter *in, const char *option)
{
	if (strncmp(option, "--", 2) == 0 || words_have(in->long_none, option, strlen(option)))
		return long_effect(in, option);
	return short_effect(in, option);
}

/* `-` reads the program from standard input; for shells it ends the options as `--` does. */
static int first_after(size_t index, size_t n_argv)
{
	return index < n_argv ? (int)index : -1;
}

/* Whether word, which is no option, stands before the script. */
static bool is_verb(const struct interpreter *in, const char *word, bool *seen)
{
	if (*seen || !words_have(in->verbs, word, strlen(word)))
		return false;
	*seen = true;
	return true;
}

int proc_script_index(const char *exe_basename, const char *const *argv, size_t n_argv)
{
	const struct interpreter *in = interpreter_find(exe_basename);
	bool verb_seen = false;

	for (size_t i = 1; in && i < n_argv; i++) {
		const char *arg = argv[i];
		bool is_option = arg[0] == '-' || (in->has_plus && arg[0] == '+');

		if (streq(arg, "--"))
			return first_after(i + 1, n_argv);
		if (streq(arg, "-"))
			return in->has_plus ? first_after(i + 1, n_argv) : -1;
		if (!is_option) {
			if (is_verb(in, arg, &verb_seen))
				continue;
			if (!verb_seen && words_have(in->verbs_none, arg, strlen(arg)))
				return -1;
			return *arg ? (int)i : -1;
		}
		switch (option_effect(in, arg)) {
		case OPTION_FLAG:
			break;
		case OPTION_VALUE:
			i++;
			break;
		case OPTION_NONE:
			return -1;
		case OPTION_SCRIPT:
			return first_after(i + 1, n_argv);
		}
	}
	return -1;
}

/* Base names of the interpreters that a script's name calls for; the last row is for all other names. */
static const struct {
	const char *const *suffixes, *const *globs;
} candidates[] = {
	{WORDS(".py", ".pyc", ".pyz"), WORDS("python*", "pypy*")},
	{WORDS(".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx"), WORDS("node*", "deno", "bun")},
	{WORDS(".sh", ".bash", ".zsh", ".ksh"), WORDS("sh", "bash*", "rbash", "dash", "ash", "zsh*", "ksh*", "mksh")},
	{WORDS(".pl"), WORDS("perl*")},
	{WORDS(".rb"), WORDS("ruby*")},
	{WORDS(".php"), WORDS("php*")},
	{WORDS(".lua"), WORDS("lua*")},
	{NULL, WORDS("python*", "pypy*", "node*", "deno", "bun", "sh", "bash*", "rbash", "dash", "ash", "zsh*", "ksh*",
		     "mksh", "fish", "perl*", "ruby*", "php*", "lua*", "tclsh*")},
};

static bool ends_in(const char *text, const char *const *suffixes)
{
	size_t length = strlen(text);

	for (; *suffixes; suffixes++) {
		size_t n = strlen(*suffixes);

		if (length >= n && streq(text + length - n, *suffixes))
			return true;
	}
	return false;
}

const char *const *proc_interpreter_globs(const char *script_glob)
{
	size_t i = 0;

	while (candidates[i].suffixes && !ends_in(script_glob, candidates[i].suffixes))
		i++;
	return candidates[i].globs;
}

bool proc_is_pm2_container(const char *script)
{
	/* lib/ of pm2 5 and 6; the cluster mode's worker is ProcessContainer.js. */
	static const char *const names[] = {"ProcessContainerFork.js", "ProcessContainer.js",
					    "ProcessContainerForkBun.js", "ProcessContainerBun.js"};

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (streq(text_basename(script), names[i]))
			return true;
	return false;
}
