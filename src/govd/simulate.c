/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/simulate.h"

#include <jansson.h>
#include <limits.h>

#include "base/log.h"
#include "core/replay.h"
#include "govd/check.h"

struct simulation {
	const struct simulate_options *options;
	struct replay *replay;
	struct conf_trace trace;
	struct conf_host host;
	struct conf_errors errors;
	json_t *rows; /* NULL: for people */
	uint64_t begin_ns;
	bool has_begun, has_failed;
};

/* Everything else keeps things in order, or only answers somebody. */
static const bool is_shown[ACTION_KINDS] = {
	[ACTION_PLACE] = true,	    [ACTION_EVICT] = true,	 [ACTION_RELEASE] = true,   [ACTION_FREEZE] = true,
	[ACTION_THAW] = true,	    [ACTION_SIGNAL] = true,	 [ACTION_KILL] = true,	    [ACTION_SIGNAL_ALL] = true,
	[ACTION_TOOL_PLACE] = true, [ACTION_TOOL_SIGNAL] = true, [ACTION_TOOL_KILL] = true, [ACTION_RECLAIM] = true,
	[ACTION_RECORD] = true,
};

/* ---- policies ---- */

static int take_policy(const char *name, const char *yaml, void *userdata)
{
	struct simulation *simulation = userdata;

	return conf_trace_policy(name, yaml, &simulation->trace);
}

static int load_others(struct simulation *simulation, struct policy_set **ret_set)
{
	const struct manager_options *options = simulation->options->manager;
	char host_file[PATH_MAX];
	const struct conf_source source = {.dirs = options->policy_dirs,
					   .n_dirs = options->n_policy_dirs,
					   .host_file = host_file,
					   .host = &simulation->host};
	int r;

	check_host_config_path(options, host_file, sizeof(host_file));
	r = conf_load_all(&source, ret_set, &simulation->errors);
	if (r == 0 && simulation->errors.n) {
		*ret_set = policy_set_unref(*ret_set);
		return -EINVAL;
	}
	return r;
}

static int make_set(struct policy_set **ret_set, void *userdata)
{
	struct simulation *simulation = userdata;

	return simulation->options->manager ? load_others(simulation, ret_set)
					    : conf_trace_policies(ret_set, &simulation->trace);
}

/* ---- decisions ---- */

static void add_row(struct simulation *simulation, uint64_t time_ns, const struct action *action)
{
	const struct agent *agent = action->agent;
	const struct incident *incident = action->kind == ACTION_RECORD ? &action->incident : NULL;
	json_t *row = json_pack("{s:f, s:s, s:s}", "time", (double)time_ns / 1e9, "agent", agent ? agent->id : "",
				"action", incident ? incident->action : action_kind_name(action->kind));

	if (!row)
		goto fail;
	if (agent && (json_object_set_new(row, "policy", json_string(agent->policy->name)) < 0 ||
		      json_object_set_new(row, "pid", json_integer(agent->root_pid)) < 0))
		goto fail;
	if (agent && *agent->key && json_object_set_new(row, "key", json_string(agent->key)) < 0)
		goto fail;
	if (incident && (json_object_set_new(row, "kind", json_string(incident_kind_name(incident->kind))) < 0 ||
			 json_object_set_new(row, "rule", json_string(incident->rule)) < 0 ||
			 json_object_set_new(row, "result", json_string(incident->result)) < 0))
		goto fail;
	if (json_array_append(simulation->rows, row) == 0) {
		json_decref(row);
		return;
	}
fail:
	json_decref(row);
	simulation->has_failed = true;
}

/* As in the trace, with the time in front; what is in it is escaped there. */
static void print_row(const struct simulation *simulation, uint64_t time_ns, const struct action *action)
{
	char line[4096] = "";
	struct text text = TEXT_ON(line);
	uint64_t since_ns = time_ns - simulation->begin_ns;

	trace_encode_action(action, replay_names(simulation->replay), &text);
	printf("%8llu.%03u %s", (unsigned long long)(since_ns / NSEC_PER_SEC),
	       (unsigned)(since_ns % NSEC_PER_SEC / NSEC_PER_MSEC), line + strlen("> "));
}

static void stepped(_unused_ const struct state *state, uint64_t time_ns, const struct actions *actions, void *userdata)
{
	struct simulation *simulation = userdata;

	if (!simulation->has_begun)
		simulation->begin_ns = time_ns;
	simulation->has_begun = true;
	for (size_t i = 0; i < actions->n; i++) {
		if (!is_shown[actions->items[i].kind])
			continue;
		if (simulation->rows)
			add_row(simulation, time_ns, &actions->items[i]);
		else if (!simulation->options->is_expecting)
			print_row(simulation, time_ns, &actions->items[i]);
	}
}

static void print_side(char side, const char *lines)
{
	while (*lines) {
		int length = (int)strcspn(lines, "\n");

		printf("%c%.*s\n", side, length, lines);
		lines += length + (lines[length] == '\n');
	}
}

static void differs(size_t line, const char *event, const char *wanted, const char *got, void *userdata)
{
	const struct simulation *simulation = userdata;

	if (!simulation->options->is_expecting)
		return;
	printf("@ %s:%zu: %s\n", simulation->options->file, line, event);
	print_side('-', wanted);
	print_side('+', got);
}

/* ---- the file ---- */

static int read_lines(struct simulation *simulation, FILE *file)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0, n = 0;
	ssize_t length;
	int r = 0;

	while (r == 0 && (length = getline(&line, &size, file)) > 0) {
		n++;
		/* The end of one that was cut off. */
		if (line[length - 1] != '\n') {
			log_warning("%s:%zu: the last line isn't whole, and left out", simulation->options->file, n);
			break;
		}
		line[length - 1] = '\0';
		r = replay_line(simulation->replay, line);
	}
	if (r == 0 && ferror(file)) {
		log_err("can't read %s", simulation->options->file);
		return -EIO;
	}
	if (r == 0)
		r = replay_end(simulation->replay);
	for (size_t i = 0; i < simulation->errors.n; i++)
		log_err("%s", simulation->errors.lines[i]);
	if (r < 0)
		log_err("%s:%zu: %s", simulation->options->file, n,
			r == -ENOMEM ? strerror(ENOMEM) : replay_error(simulation->replay));
	return r;
}

static int print_all(struct simulation *simulation)
{
	const char *json = simulation->options->json;

	if (simulation->rows &&
	    (json_dumpf(simulation->rows, stdout, streq(json, "pretty") ? JSON_INDENT(2) : JSON_COMPACT) < 0 ||
	     putchar('\n') == EOF))
		return -EIO;
	return fflush(stdout) == EOF ? -errno : 0;
}

static int simulate(struct simulation *simulation, FILE *file)
{
	struct replay_calls calls = {
		.policy = take_policy,
		.policies = make_set,
		.stepped = stepped,
		.differs = differs,
		.userdata = simulation,
	};
	struct replay_counts counts;
	int r = replay_new(&calls, simulation->options->manager, &simulation->replay);

	if (r == 0)
		r = read_lines(simulation, file);
	if (r == 0)
		r = simulation->has_failed ? -ENOMEM : print_all(simulation);
	if (r < 0)
		return r;
	replay_count(simulation->replay, &counts);
	log_info("%zu events, %zu left out, %zu decisions, %zu differences", counts.events, counts.skipped,
		 counts.decisions, counts.differences);
	return simulation->options->is_expecting && counts.differences ? 1 : 0;
}

int simulate_run(const struct simulate_options *options)
{
	struct simulation simulation = {.options = options, .host = check_host()};
	_cleanup_fclose_ FILE *file =
		streq(options->file, "-") ? fdopen(dup(STDIN_FILENO), "r") : fopen(options->file, "re");
	const char *json = options->json ? options->json : "off";
	int r;

	if (!streq(json, "off") && !streq(json, "short") && !streq(json, "pretty")) {
		log_err("simulate: --json=%s is none of off, short, pretty", json);
		return 2;
	}
	if (options->is_expecting && options->manager) {
		log_err("simulate: --expect is for the trace's own policies: leave --policy-dir out");
		return 2;
	}
	if (!file) {
		log_err("can't open %s: %m", options->file);
		return 1;
	}
	simulation.trace =
		(struct conf_trace){.file = options->file, .host = &simulation.host, .errors = &simulation.errors};
	if (!streq(json, "off"))
		simulation.rows = json_array();
	r = simulate(&simulation, file);
	replay_free(simulation.replay);
	json_decref(simulation.rows);
	conf_trace_done(&simulation.trace);
	conf_errors_done(&simulation.errors);
	return r != 0;
}
