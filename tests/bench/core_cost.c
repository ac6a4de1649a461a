/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What deciding costs: core_cost AGENTS EVENTS. A line for each kind of event, and for a mix of them, with ns an event,
 * then what the core keeps of an agent in memory. No kernel is asked anything.
 */
#include <err.h>
#include <malloc.h>
#include <time.h>

#include "conf/conf.h"
#include "core/step.h"

#define POLICIES 20
#define EXE "/opt/bots/10/bot"
#define ARGS                                                                                                           \
	"bot --room=%zu --output-format stream-json --verbose --input-format stream-json --model a-model-of-some-name"
#define PLACED_DIR "/agents.slice/bench10-%08zu"
#define ROUNDS 5 /* the fastest counts: what else runs here only slows it down */

struct bench {
	struct state *state;
	struct actions actions;
	uint64_t now_ns;
	uint64_t random;
	size_t n_agents;
	uint64_t *handles;
	pid_t *pids;
	pid_t next_pid;
	uint64_t next_mark;
	char args[256], cgroup[128];
	struct activity_view *lives;
};

static uint64_t clock_ns(void)
{
	struct timespec now;

	/* Nobody else's. */
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* xorshift64 (Marsaglia 2003). */
static size_t pick(struct bench *bench, size_t below)
{
	bench->random ^= bench->random << 13;
	bench->random ^= bench->random >> 7;
	bench->random ^= bench->random << 17;
	return (size_t)(bench->random % below);
}

static void send(struct bench *bench, struct event *event)
{
	bench->now_ns += 1000;
	event->time_ns = bench->now_ns;
	step(bench->state, event, &bench->actions);
}

static struct proc proc_of(struct bench *bench, const char *exe)
{
	pid_t pid = bench->next_pid++;

	return (struct proc){
		.pid = pid,
		.ppid = 2,
		.start_ticks = (uint64_t)pid,
		.mark = bench->next_mark++,
		.uid = 1000,
		.exe = exe,
		.args = bench->args,
		.directory = "/opt/bots",
		.cgroup = "/user.slice",
		.cgroup_id = 1,
		.flags = PROC_OUTSIDE,
	};
}

/* ---- events ---- */

static size_t send_birth(struct bench *bench, size_t i)
{
	struct event event = {.kind = EVENT_EXEC};
	const struct agent *agent;
	pid_t pid;

	snprintf(bench->args, sizeof(bench->args), ARGS, (size_t)bench->next_pid);
	event.exec.proc = proc_of(bench, EXE);
	pid = event.exec.proc.pid;
	send(bench, &event);
	agent = state_agent_of(bench->state, 0, pid);
	if (!agent)
		errx(1, "no agent was born");
	bench->handles[i] = agent->handle;
	bench->pids[i] = pid;
	snprintf(bench->cgroup, sizeof(bench->cgroup), PLACED_DIR, (size_t)agent->handle);
	event = (struct event){.kind = EVENT_RESULT};
	event.result.action = ACTION_PLACE;
	event.result.agent = agent->handle;
	event.result.pid = pid;
	event.result.cgroup_id = 1000 + agent->handle;
	event.result.cgroup = bench->cgroup;
	event.result.origin = "v2=/user.slice;memory=/user.slice";
	send(bench, &event);
	return 2;
}

/* One ends, another begins. */
static size_t send_life(struct bench *bench)
{
	size_t i = pick(bench, bench->n_agents);
	struct event event = {.kind = EVENT_EXIT};

	/* Not as a crash. */
	bench->now_ns += NSEC_PER_SEC;
	event.exit.pid = bench->pids[i];
	event.exit.start_ticks = (uint64_t)bench->pids[i];
	event.exit.has_code = true;
	send(bench, &event);
	event = (struct event){.kind = EVENT_EMPTY};
	event.empty.agent = bench->handles[i];
	send(bench, &event);
	event = (struct event){.kind = EVENT_RESULT};
	event.result.action = ACTION_REMOVE;
	event.result.agent = bench->handles[i];
	send(bench, &event);
	return 3 + send_birth(bench, i);
}

static size_t send_stranger(struct bench *bench)
{
	struct event event = {.kind = EVENT_EXEC};

	event.exec.proc = proc_of(bench, "/usr/bin/python3.11");
	send(bench, &event);
	return 1;
}

static size_t send_seen(struct bench *bench)
{
	struct event event = {.kind = EVENT_SEEN};

	event.seen.proc = proc_of(bench, "/usr/bin/node");
	event.seen.proc.mark = 0;
	send(bench, &event);
	return 1;
}

static size_t send_fork(struct bench *bench)
{
	size_t i = pick(bench, bench->n_agents);
	struct event event = {.kind = EVENT_FORK};

	event.fork.pid = bench->next_pid++;
	event.fork.ppid = bench->pids[i];
	event.fork.start_ticks = (uint64_t)event.fork.pid;
	event.fork.agent = bench->handles[i];
	event.fork.cgroup_id = 1000 + bench->handles[i];
	send(bench, &event);
	return 1;
}

static size_t send_exit(struct bench *bench)
{
	struct event event = {.kind = EVENT_EXIT};

	event.exit.pid = bench->next_pid++;
	event.exit.start_ticks = 1;
	send(bench, &event);
	return 1;
}

static size_t send_sample(struct bench *bench)
{
	struct event event = {.kind = EVENT_SAMPLE};

	event.sample.agent = bench->handles[pick(bench, bench->n_agents)];
	event.sample.cpu_ns = bench->now_ns / 100;
	event.sample.memory_bytes = (UINT64_C(160) << 20) + pick(bench, 1 << 20);
	event.sample.anon_bytes = event.sample.memory_bytes;
	event.sample.has_read = true;
	send(bench, &event);
	return 1;
}

static size_t send_connects(struct bench *bench)
{
	struct event event = {.kind = EVENT_CONNECTS};

	event.connects.agent = bench->handles[pick(bench, bench->n_agents)];
	event.connects.view = (struct connect_view){.destination = "192.0.2.1:443", .attempts = 5, .established = 5};
	send(bench, &event);
	return 1;
}

static size_t send_tick(struct bench *bench)
{
	struct event event = {.kind = EVENT_TICK};

	send(bench, &event);
	return 1;
}

/* A census of all. */
static size_t send_activity(struct bench *bench)
{
	struct event event = {.kind = EVENT_ACTIVITY};

	for (size_t i = 0; i < bench->n_agents; i++)
		bench->lives[i] = (struct activity_view){.agent = bench->handles[i], .cpu_ns = bench->now_ns};
	event.activity.items = bench->lives;
	event.activity.n = bench->n_agents;
	send(bench, &event);
	return 1;
}

/* What a busy host sends: of 1000, how many; an end and a birth are five events. */
static const struct kind {
	const char *name;
	size_t (*send)(struct bench *bench);
	unsigned share;
} kinds[] = {
	{"exec of a stranger", send_stranger, 250},  {"process seen by a scan", send_seen, 100},
	{"fork in an agent", send_fork, 250},	     {"exit of a stranger", send_exit, 150},
	{"sample of an agent", send_sample, 190},    {"connects of an agent", send_connects, 50},
	{"end and birth of an agent", send_life, 9}, {"tick", send_tick, 1},
	{"census of all agents", send_activity, 0},
};

static size_t send_mix(struct bench *bench)
{
	size_t at = pick(bench, 1000);

	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		if (at < kinds[i].share)
			return kinds[i].send(bench);
		at -= kinds[i].share;
	}
	return 0;
}

/* ---- measuring ---- */

static double measure(struct bench *bench, size_t (*send_some)(struct bench *), size_t n)
{
	double fastest = 0;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t begin_ns = clock_ns();
		size_t sent = 0;
		double ns;

		while (sent < n)
			sent += send_some(bench);
		ns = (double)(clock_ns() - begin_ns) / (double)sent;
		if (round == 0 || ns < fastest)
			fastest = ns;
	}
	return fastest;
}

static void load_policies(struct bench *bench)
{
	static const struct conf_host host = {.memory_bytes = UINT64_C(8) << 30};
	struct conf_errors errors = {0};
	struct conf_trace trace = {.file = "bench", .host = &host, .errors = &errors};
	struct event event = {.kind = EVENT_POLICIES};
	struct policy_set *set;

	for (int i = 0; i < POLICIES; i++) {
		char name[16], yaml[512];

		snprintf(name, sizeof(name), "bench%02d", i);
		snprintf(yaml, sizeof(yaml),
			 "match: {exe: /opt/bots/%d/**, args: '--input-format stream-json'}\n"
			 "key: {args: '--room=(\\S+)'}\nmemory: {high: 400M, max: 600M}\nleak: {horizon: 30min}\n"
			 "connect: {rate: 5/min, burst: 5}\nbreaker: {failures: 5}\nrestart: {min_uptime: 1s, limit: "
			 "10}\n"
			 "lifecycle: {idle: 1h, orphan: 30s, per_key: 1, max_agents: 4096, max_runtime: 1d}\n",
			 i);
		if (conf_trace_policy(name, yaml, &trace) < 0)
			errx(1, "%s", errors.n ? errors.lines[0] : "no memory");
	}
	if (conf_trace_policies(&set, &trace) < 0)
		errx(1, "no memory");
	event.policies.set = set;
	send(bench, &event);
	policy_set_unref(set);
	event = (struct event){.kind = EVENT_CENSUS_END};
	send(bench, &event);
}

static size_t number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || !value || value > 10000000)
		errx(2, "%s is no number from 1 to 10000000", text);
	return value;
}

int main(int argc, char **argv)
{
	struct bench bench = {
		.now_ns = 1000 * NSEC_PER_SEC, .random = 88172645463325252, .next_pid = 100, .next_mark = 1};
	size_t n_events, before;

	if (argc != 3)
		errx(2, "usage: core_cost AGENTS EVENTS");
	bench.n_agents = number(argv[1]);
	n_events = number(argv[2]);
	bench.handles = calloc(bench.n_agents, sizeof(*bench.handles));
	bench.pids = calloc(bench.n_agents, sizeof(*bench.pids));
	bench.lives = calloc(bench.n_agents, sizeof(*bench.lives));
	bench.state = state_new(1);
	if (bench.n_agents > STATE_AGENTS_MAX || !bench.handles || !bench.pids || !bench.lives || !bench.state)
		errx(1, "too many agents, or no memory");
	load_policies(&bench);
	before = mallinfo2().uordblks;
	for (size_t i = 0; i < bench.n_agents; i++)
		send_birth(&bench, i);
	printf("memory of an agent\t%zu\n", (mallinfo2().uordblks - before) / bench.n_agents);
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
		printf("%s\t%.1f\n", kinds[i].name,
		       measure(&bench, kinds[i].send,
			       kinds[i].send == send_activity || kinds[i].send == send_tick ? 100 : n_events / 20));
	printf("mix\t%.1f\n", measure(&bench, send_mix, n_events));
	return 0;
}
