/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <getopt.h>
#include <stdarg.h>

#include "base/log.h"
#include "govd/check.h"
#include "govd/doctor.h"
#include "govd/manager.h"
#include "govd/simulate.h"

/* Exit status, as govd(8) has it. */
enum { GOVD_OK = 0, GOVD_FAILED = 1, GOVD_USAGE = 2 };

enum option_code {
	OPTION_POLICY_DIR = 256,
	OPTION_RUNTIME_DIR,
	OPTION_STATE_DIR,
	OPTION_BACKEND,
	OPTION_SLICE,
	OPTION_CONFIG,
	OPTION_OBSERVE,
	OPTION_CHECK,
	OPTION_DOCTOR,
	OPTION_RECORD,
	OPTION_SIMULATE,
	OPTION_EXPECT,
	OPTION_JSON,
	OPTION_RING_SIZE,
	OPTION_LOG_LEVEL,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{"policy-dir", required_argument, NULL, OPTION_POLICY_DIR},
	{"runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR},
	{"state-dir", required_argument, NULL, OPTION_STATE_DIR},
	{"backend", required_argument, NULL, OPTION_BACKEND},
	{"slice", required_argument, NULL, OPTION_SLICE},
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"observe", no_argument, NULL, OPTION_OBSERVE},
	{"check", no_argument, NULL, OPTION_CHECK},
	{"doctor", no_argument, NULL, OPTION_DOCTOR},
	{"record", required_argument, NULL, OPTION_RECORD},
	{"simulate", required_argument, NULL, OPTION_SIMULATE},
	{"expect", no_argument, NULL, OPTION_EXPECT},
	{"json", optional_argument, NULL, OPTION_JSON},
	{"ring-size", required_argument, NULL, OPTION_RING_SIZE},
	{"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static const char usage_text[] =
	"govd [OPTION]...\n"
	"Governs the agent processes of this host, as its policies say.\n"
	"\n"
	"  --policy-dir DIR    where NAME.yaml policies are; may be repeated, the first overrides\n"
	"                      (default " GOV_DEFAULT_CONFIG_DIR "/policies, " GOV_DEFAULT_DATA_DIR "/policies)\n"
	"  --config FILE       the host's configuration (default govd.yaml beside the first policy directory)\n"
	"  --runtime-dir DIR   the socket's directory (default " GOV_DEFAULT_RUNTIME_DIR ")\n"
	"  --state-dir DIR     the incidents' directory (default " GOV_DEFAULT_STATE_DIR ")\n"
	"  --slice NAME        the group that holds all agents (default " GOV_DEFAULT_SLICE ")\n"
	"  --backend NAME      auto, systemd or native\n"
	"  --observe           only say what would be done, whatever the policies say\n"
	"  --ring-size SIZE    of the kernel's ring buffer, a power of two, 4K to 64M (default 4M)\n"
	"  --log-level LEVEL   err, warning, info or debug\n"
	"  --record FILE       also write a trace of all that is seen and decided, see govd.trace(5)\n"
	"  --check [FILE]...   check policy files (default: all policies) and exit\n"
	"  --doctor            tell whether this host has what govd needs, and exit; --json=short|pretty for machines\n"
	"  --simulate FILE     tell what was, or with --policy-dir would have been, decided in a trace, and exit;\n"
	"                      --expect: fail when it isn't what was decided then\n"
	"  --version, --help\n"
	"\n"
	"See govd(8), govd.policy(5) and govctl(1).\n";

struct invocation {
	struct manager_options options;
	bool is_check, is_doctor;
	const char *json;
	const char *simulate; /* a trace */
	bool is_expecting;
	bool has_policy_dir;
};

static int _printf_(1, 2) usage_error(const char *format, ...)
{
	char sentence[512];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	log_err("govd: %s", sentence);
	fputs("Try `govd --help`.\n", stderr);
	return GOVD_USAGE;
}

static int take_backend(const char *name)
{
	if (streq(name, "auto") || streq(name, "native") || streq(name, "systemd"))
		return 0;
	return usage_error("--backend %s is none of auto, systemd, native", name);
}

static int take_ring_size(const char *text, size_t *ret_bytes)
{
	uint64_t bytes;

	if (unit_parse_size(text, 0, &bytes) < 0 || bytes < 4096 || bytes > (64U << 20) || (bytes & (bytes - 1)))
		return usage_error("--ring-size %s is no power of two from 4K to 64M", text);
	*ret_bytes = (size_t)bytes;
	return 0;
}

/* A slice is one directory: the same rules in each hierarchy. */
static bool slice_is_valid(const char *name)
{
	size_t length = strlen(name);

	return length > strlen(".slice") && length < 128 && !strchr(name, '/') && *name != '.' &&
	       streq(name + length - strlen(".slice"), ".slice");
}

static int take_option(int code, const char *value, struct invocation *invocation)
{
	struct manager_options *options = &invocation->options;
	enum log_level level;

	switch (code) {
	case OPTION_POLICY_DIR:
		if (options->n_policy_dirs == POLICY_DIRS_MAX)
			return usage_error("%s: too many policy directories", value);
		options->policy_dirs[options->n_policy_dirs++] = value;
		invocation->has_policy_dir = true;
		return 0;
	case OPTION_RUNTIME_DIR:
		options->runtime_dir = value;
		return 0;
	case OPTION_STATE_DIR:
		options->state_dir = value;
		return 0;
	case OPTION_BACKEND:
		options->backend = value;
		return take_backend(value);
	case OPTION_SLICE:
		options->slice = value;
		return slice_is_valid(value) ? 0 : usage_error("--slice %s: wanted NAME.slice, without a slash", value);
	case OPTION_CONFIG:
		options->config = value;
		return 0;
	case OPTION_OBSERVE:
		options->observe = true;
		return 0;
	case OPTION_CHECK:
		invocation->is_check = true;
		return 0;
	case OPTION_DOCTOR:
		invocation->is_doctor = true;
		return 0;
	case OPTION_RECORD:
		options->record = value;
		return 0;
	case OPTION_SIMULATE:
		invocation->simulate = value;
		return 0;
	case OPTION_EXPECT:
		invocation->is_expecting = true;
		return 0;
	case OPTION_JSON:
		invocation->json = value ? value : "short";
		return 0;
	case OPTION_RING_SIZE:
		return take_ring_size(value, &options->ring_bytes);
	case OPTION_LOG_LEVEL:
		if (log_level_parse(value, &level) < 0)
			return usage_error("--log-level %s is none of err, warning, info, debug", value);
		log_level_set(level);
		return 0;
	default:
		return usage_error("unknown option");
	}
}

static int parse_arguments(int argc, char **argv, struct invocation *invocation)
{
	int code, r;

	while ((code = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
		if (code == '?')
			return GOVD_USAGE;
		r = take_option(code, optarg, invocation);
		if (r != 0)
			return r;
	}
	if (optind < argc && !invocation->is_check)
		return usage_error("%s: no arguments are wanted", argv[optind]);
	if (!invocation->options.n_policy_dirs) {
		invocation->options.policy_dirs[invocation->options.n_policy_dirs++] =
			GOV_DEFAULT_CONFIG_DIR "/policies";
		invocation->options.policy_dirs[invocation->options.n_policy_dirs++] = GOV_DEFAULT_DATA_DIR "/policies";
	}
	return 0;
}

static int govern(const struct manager_options *options)
{
	_cleanup_(manager_freep) struct manager *manager = NULL;
	int r;

	if (geteuid() != 0) {
		log_err("govd must run as root: it loads BPF programs and makes cgroups");
		return GOVD_FAILED;
	}
	r = manager_new(options, &manager);
	if (r < 0)
		return GOVD_FAILED;
	r = manager_run(manager);
	if (r < 0)
		log_err("the event loop failed: %s", strerror(-r));
	return r < 0 ? GOVD_FAILED : GOVD_OK;
}

int main(int argc, char **argv)
{
	struct invocation invocation = {
		.options =
			{
				.runtime_dir = GOV_DEFAULT_RUNTIME_DIR,
				.state_dir = GOV_DEFAULT_STATE_DIR,
				.slice = GOV_DEFAULT_SLICE,
				.backend = "auto",
			},
	};
	int r;

	for (int i = 1; i < argc; i++) {
		if (streq(argv[i], "--help") || streq(argv[i], "-h")) {
			fputs(usage_text, stdout);
			return GOVD_OK;
		}
		if (streq(argv[i], "--version")) {
			puts("govd " GOV_VERSION);
			return GOVD_OK;
		}
	}
	r = parse_arguments(argc, argv, &invocation);
	if (r != 0)
		return r;
	if (invocation.is_doctor) {
		struct doctor_options doctor = {.json = invocation.json};

		return doctor_run(&doctor);
	}
	if (invocation.simulate) {
		struct simulate_options simulate = {
			.file = invocation.simulate,
			.manager = invocation.has_policy_dir ? &invocation.options : NULL,
			.json = invocation.json,
			.is_expecting = invocation.is_expecting,
		};

		return simulate_run(&simulate);
	}
	if (invocation.is_check)
		return check_run(&invocation.options, argv + optind, (size_t)(argc - optind));
	return govern(&invocation.options);
}
