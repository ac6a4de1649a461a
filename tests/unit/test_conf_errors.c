/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "conf/conf.h"

static const struct conf_host host = {.memory_bytes = UINT64_C(8) << 30};

static int parse(const char *text, struct policy **ret_policy, struct conf_errors *errors)
{
	return conf_policy_parse(&(struct conf_text){"bots", "bots.yaml", text, strlen(text)}, &host, ret_policy,
				 errors);
}

/* All lines in one, each with its newline. The caller frees. */
static char *joined(const struct conf_errors *errors)
{
	size_t size = 1;
	char *text;

	for (size_t i = 0; i < errors->n; i++)
		size += strlen(errors->lines[i]) + 1;
	text = calloc(1, size);
	for (size_t i = 0; i < errors->n; i++)
		strcat(strcat(text, errors->lines[i]), "\n");
	return text;
}

struct bad_case {
	const char *text, *errors;
};

static const struct bad_case bad_cases[] = {
	{"", "bots.yaml: match: has no keys, so that the policy would be for every process; write at least one, such "
	     "as match: {exe: /opt/bots/**/claude}\n"},
	{"# only words\n", "bots.yaml: match: has no keys, so that the policy would be for every process; write at "
			   "least one, such as match: {exe: /opt/bots/**/claude}\n"},
	{"match:\n", "bots.yaml: match: is empty; write the keys that choose its processes, such as match: {exe: "
		     "/opt/bots/**/claude}\n"},
	{"match: {}\n", "bots.yaml: match: has no keys, so that the policy would be for every process; write at least "
			"one, such as match: {exe: /opt/bots/**/claude}\n"},
	{"match: x\n", "bots.yaml: match: is a single value; write the keys that choose its processes, such as match: "
		       "{exe: /opt/bots/**/claude}\n"},
	{"match: [a]\n", "bots.yaml: match: is a list; write the keys that choose its processes, such as match: {exe: "
			 "/opt/bots/**/claude}\n"},
	{"just words\n", "bots.yaml: the file is a single value; write keys, such as match: and memory:\n"},
	{"- a\n- b\n", "bots.yaml: the file is a list; write keys, such as match: and memory:\n"},
	{"match: {exe: /x}\nmemory: {high: 400MB}\n",
	 "bots.yaml: memory.high: \"400MB\" is not a size; write a number with K, M, G or T, or a percentage of the "
	 "machine's memory, such as 400M or 25%\n"},
	{"match: {exe: /x}\nmemory: {max: 0}\n", "bots.yaml: memory.max: \"0\" is out of range; write 1M or more, at "
						 "most 100% of the machine's memory, or infinity\n"},
	{"match: {exe: /x}\nmemory: {max: 120%}\n", "bots.yaml: memory.max: \"120%\" is out of range; write 1M or "
						    "more, at most 100% of the machine's memory, or infinity\n"},
	{"match: {exe: /x}\nmemory: {high: 2G, max: 1G}\n",
	 "bots.yaml: memory.high: \"2G\" is above memory.max, which is 1G; write less, so that it slows down before it "
	 "is ended\n"},
	{"match: {exe: /x}\nmemory: {max: [1G, 2G]}\n",
	 "bots.yaml: memory.max: is a list; write a size such as 600M or 25%\n"},
	{"match: {exe: /x}\nmemory: {swap_max: -1}\n",
	 "bots.yaml: memory.swap_max: \"-1\" is not a size; write a number with K, M, G or T, or a percentage of the "
	 "machine's memory, such as 400M or 25%\n"},
	{"match: {exe: /x}\nmemory: 400M\n",
	 "bots.yaml: memory: is a single value; write limits, such as memory: {high: 400M, max: 600M}\n"},
	{"match: {exe: /x}\nmemory: {max:}\n",
	 "bots.yaml: line 2, column 13: is not YAML: while scanning a plain scalar, found unexpected ':'; write `key: "
	 "value` lines, indented by spaces, and put values with special characters (* & ! % @ { [ : #) in quotes\n"},
	{"match: {exe: /x}\nmemory: {max: \"\"}\n",
	 "bots.yaml: memory.max: \"\" is not a size; write a number with K, M, G or T, or a percentage of the "
	 "machine's memory, such as 400M or 25%\n"},
	{"match: {exe: /x}\nmemory: {hihg: 1G}\n",
	 "bots.yaml: memory.hihg: unknown key; did you mean high? known here: high, max, swap_max, on_oom, "
	 "on_pressure\n"},
	{"match: {exe: /x}\nmemory: {on_pressure: kill}\n",
	 "bots.yaml: memory.on_pressure: \"kill\" is not what can be done under memory pressure; write note, reclaim, "
	 "high, freeze or stop\n"},
	{"match: {exe: /x}\nmemory: {on_pressure: stop}\nprotect: true\n",
	 "bots.yaml: memory.on_pressure: \"stop\" would end agents that `protect: true` spares; write freeze, or "
	 "protect: false\n"},
	{"match: {exe: /x}\nmemory: {on_oom: kill}\n",
	 "bots.yaml: memory.on_oom: \"kill\" is not what can be done when it is out of memory; write kill-tool, "
	 "kill-agent or kernel\n"},
	{"match: {exe: /x}\nmemory: {on_oom: kill-tool}\nprotect: true\n",
	 "bots.yaml: memory.on_oom: \"kill-tool\" would end agents that `protect: true` spares; write kernel, or "
	 "protect: false\n"},
	{"match: {exe: /x}\ntools: {max_runtime: 5min}\nprotect: true\n",
	 "bots.yaml: tools.max_runtime: \"5min\" would end what `protect: true` spares; leave it out, or write "
	 "protect: false\n"},
	{"match: {exe: /x}\ntools: {max_runtime: 0}\n",
	 "bots.yaml: tools.max_runtime: \"0\" is out of range; write more than 0, such as 10min, or infinity\n"},
	{"match: {exe: /x}\ntools: {memory_max: 10K}\n",
	 "bots.yaml: tools.memory_max: \"10K\" is out of range; write 1M or more, at most 100% of the machine's "
	 "memory, or infinity\n"},
	{"match: {exe: /x}\ntools: 1G\n",
	 "bots.yaml: tools: is a single value; write limits of each tool, such as tools: {memory_max: 1G, "
	 "max_runtime: 10min}\n"},
	{"match: {exe: /x}\nmemory: {on_oom: kill-agent}\nprotect: true\n",
	 "bots.yaml: memory.on_oom: \"kill-agent\" would end agents that `protect: true` spares; write kernel, or "
	 "protect: false\n"},
	{"match: {exe: /x}\nleak: {horizon: 30min}\n", "bots.yaml: leak.horizon: \"30min\" has no cap to be reached; "
						       "write one, such as memory: {max: 600M}, or leave "
						       "leak out\n"},
	{"match: {exe: /x}\nmemory: {max: 1G}\nleak: {horizon: 30}\n",
	 "bots.yaml: leak.horizon: \"30\" is not a time; write a number with s, min or h, such as 30min, or off\n"},
	{"match: {exe: /x}\nmemory: {max: 1G}\nleak: {horizon: 8d}\n",
	 "bots.yaml: leak.horizon: \"8d\" is out of range; write 1s to 7d, such as 30min, or off\n"},
	{"match: {exe: /x}\nmemory: {max: 1G}\nleak: {action: kill}\n",
	 "bots.yaml: leak.action: \"kill\" is not what can be done about a leak; write alert or stop\n"},
	{"match: {exe: /x}\nmemory: {high: 1G}\nleak: {action: stop}\nprotect: true\n",
	 "bots.yaml: leak.action: \"stop\" would end agents that `protect: true` spares; write alert, or protect: "
	 "false\n"},
	{"match: {exe: /x}\nmemroy: {high: 1G}\n",
	 "bots.yaml: memroy: unknown key; did you mean memory? known here: match, key, mode, hold, placement, allow, "
	 "memory, cpu, "
	 "tasks, tools, connect, breaker, sockets, restart, lifecycle, hung, leak, stop, bulk, priority, protect\n"},
	{"match: {exe: /x}\nxyzzy: 1\n",
	 "bots.yaml: xyzzy: unknown key; known here: match, key, mode, hold, placement, allow, "
	 "memory, cpu, tasks, tools, connect, breaker, sockets, restart, lifecycle, hung, leak, stop, bulk, priority, "
	 "protect\n"},
	{"match: {exe: /x}\nmemory.high: 1G\n", "bots.yaml: memory.high: unknown key; write memory: {high: ...}\n"},
	{"match: {exe: /x}\ncpu: {weight: 0}\n",
	 "bots.yaml: cpu.weight: \"0\" is out of range; write a number from 1 to 10000, such as 100\n"},
	{"match: {exe: /x}\ncpu: {weight: heavy}\n",
	 "bots.yaml: cpu.weight: \"heavy\" is not a weight; write a number from 1 to 10000, such as 100\n"},
	{"match: {exe: /x}\ncpu: {max: 150}\n", "bots.yaml: cpu.max: \"150\" is not a share of a CPU; write a whole "
						"percentage, such as 150% for one and a half CPUs, or infinity\n"},
	{"match: {exe: /x}\ncpu: {max: 0%}\n",
	 "bots.yaml: cpu.max: \"0%\" is out of range; write 1% to 100000%, such as 150% for one and a half CPUs\n"},
	{"match: {exe: /x}\ncpu: {max: 1.5%}\n", "bots.yaml: cpu.max: \"1.5%\" is not a share of a CPU; write a whole "
						 "percentage, such as 150% for one and a half CPUs, or infinity\n"},
	{"match: {exe: /x}\ntasks: {max: many}\n",
	 "bots.yaml: tasks.max: \"many\" is not a number of tasks; write a number such as 512, or infinity\n"},
	{"match: {exe: /x}\ntasks: {max: 0}\n",
	 "bots.yaml: tasks.max: \"0\" is out of range; write 1 or more, or infinity\n"},
	{"match: {exe: /x}\ntasks: {spawn_rate: 50}\n",
	 "bots.yaml: tasks.spawn_rate: \"50\" is not a rate; write a number "
	 "per s, min, h or d, such as 10/s, or infinity\n"},
	{"match: {exe: /x}\nstop: {signal: TREM}\n",
	 "bots.yaml: stop.signal: \"TREM\" is not a signal; write a name such as TERM, INT, QUIT or SIGTERM\n"},
	{"match: {exe: /x}\nstop: {signal: STOP}\n",
	 "bots.yaml: stop.signal: \"STOP\" does not end a process; write one that does, such as TERM, INT or QUIT\n"},
	{"match: {exe: /x}\nstop: {signal: 9}\n",
	 "bots.yaml: stop.signal: \"9\" is not a signal; write a name such as TERM, INT, QUIT or SIGTERM\n"},
	{"match: {exe: /x}\nstop: {grace: 10}\n",
	 "bots.yaml: stop.grace: \"10\" is not a time; write a number with ms, s, min or h, such as 10s or 2min\n"},
	{"match: {exe: /x}\nstop: {grace: 2d}\n",
	 "bots.yaml: stop.grace: \"2d\" is out of range; write at most 1d, such as 10s\n"},
	{"match: {exe: /x}\nstop: TERM\n", "bots.yaml: stop: is a single value; write how its agents are stopped, such "
					   "as stop: {signal: TERM, grace: 10s}\n"},
	{"match: {exe: /x}\npriority: high\n",
	 "bots.yaml: priority: \"high\" is not a whole number; write one such as 0, 10 or -5\n"},
	{"match: {exe: /x}\npriority: 3000000000\n",
	 "bots.yaml: priority: \"3000000000\" is out of range; write a number from -2147483647 to 2147483647\n"},
	{"match: {exe: /x}\nprotect: maybe\n",
	 "bots.yaml: protect: \"maybe\" is neither true nor false; write one of them\n"},
	{"match: {exe: /x}\nmode: dry-run\n", "bots.yaml: mode: \"dry-run\" is not a mode; write enforce or observe\n"},
	{"match: {exe: /x}\nhold: 1s\n", "bots.yaml: hold: \"1s\" is not a way to hold; write auto or never\n"},
	{"match: {exe: /x}\nplacement: here\n",
	 "bots.yaml: placement: \"here\" is not where an agent can go; write auto, scope, nested or none\n"},
	{"match: {exe: /x}\nconnect: {}\n", "bots.yaml: connect.rate: is missing; write a rate such as 5/min\n"},
	{"match: {exe: /x}\nconnect: {burst: 3}\n",
	 "bots.yaml: connect.rate: is missing; write a rate such as 5/min\n"},
	{"match: {exe: /x}\nconnect: 5/min\n", "bots.yaml: connect: is a single value; write how often they may "
					       "connect, such as connect: {rate: 5/min, burst: 5}\n"},
	{"match: {exe: /x}\nconnect: {rate: 5}\n",
	 "bots.yaml: connect.rate: \"5\" is not a rate; write a number per s, min or h, such as 5/min or 2/s\n"},
	{"match: {exe: /x}\nconnect: {rate: 5/m}\n",
	 "bots.yaml: connect.rate: \"5/m\" is not a rate; write a number per s, min or h, such as 5/min or 2/s\n"},
	{"match: {exe: /x}\nconnect: {rate: 0/s}\n",
	 "bots.yaml: connect.rate: \"0/s\" is out of range; write 30/h, one in the longest time that the kernel can "
	 "hold a connect, to 1000000/s, or infinity\n"},
	{"match: {exe: /x}\nconnect: {rate: 29/h, max_delay: 2min}\n",
	 "bots.yaml: connect.rate: \"29/h\" is out of range; write 30/h, one in the longest time that the kernel can "
	 "hold a connect, to 1000000/s, or infinity\n"},
	{"match: {exe: /x}\nconnect: {rate: 1000001/s}\n",
	 "bots.yaml: connect.rate: \"1000001/s\" is out of range; write 30/h, one in the longest time that the kernel "
	 "can hold a connect, to 1000000/s, or infinity\n"},
	{"match: {exe: /x}\nconnect: {rate: [1/s]}\n",
	 "bots.yaml: connect.rate: is a list; write a rate such as 5/min\n"},
	{"match: {exe: /x}\nconnect: {rate: 1/s, burst: 0}\n",
	 "bots.yaml: connect.burst: \"0\" is out of range; write 1 to 10000, such as 5\n"},
	{"match: {exe: /x}\nconnect: {rate: 1/s, burst: some}\n",
	 "bots.yaml: connect.burst: \"some\" is not a number; write one such as 5\n"},
	{"match: {exe: /x}\nconnect: {rate: 1/s, per: host}\n",
	 "bots.yaml: connect.per: \"host\" is not what a budget can be for; write destination, port or agent\n"},
	{"match: {exe: /x}\nconnect: {rate: 1/s, max_delay: 121s}\n",
	 "bots.yaml: connect.max_delay: \"121s\" is out of range; write more than 0 and at most 2min, the longest that "
	 "the kernel can hold a connect\n"},
	{"match: {exe: /x}\nconnect: {rate: 1/s, max_delay: 0}\n",
	 "bots.yaml: connect.max_delay: \"0\" is out of range; write more than 0 and at most 2min, the longest that "
	 "the kernel can hold a connect\n"},
	{"match: {exe: /x}\nconnect: {rate: 1/min, max_delay: soon}\n",
	 "bots.yaml: connect.max_delay: \"soon\" is not a time; write a number with ms, s, min or h, such as 30s or "
	 "1min\n"},
	{"match: {exe: /x}\nconnect: {rate: 1/min}\n",
	 "bots.yaml: connect.max_delay: \"30s\" is less than the time between two connects at 1/min, so that all but "
	 "the burst would be refused; write 1min to 2min, or a higher rate\n"},
	{"match: {exe: /x}\nconnect: {rate: 7/min, max_delay: 8571ms}\n",
	 "bots.yaml: connect.max_delay: \"8571ms\" is less than the time between two connects at 7/min, so that all "
	 "but the burst would be refused; write 9s to 2min, or a higher rate\n"},
	{"match: {exe: /x}\nconnect: {rate: 1/s, on_excess: drop}\n",
	 "bots.yaml: connect.on_excess: \"drop\" is not what can be done beyond max_delay; write refuse or delay\n"},
	{"match: {exe: /x}\nconnect: {rate: 1/s, udp: delay}\n",
	 "bots.yaml: connect.udp: \"delay\" is not what can be done with UDP; write count or refuse\n"},
	{"match: {exe: /x}\nconnect: {rate: 1/s, brust: 2}\n",
	 "bots.yaml: connect.brust: unknown key; did you mean burst? known here: rate, burst, per, max_delay, "
	 "on_excess, udp\n"},
	{"match: {exe: /x}\nbreaker: 5\n", "bots.yaml: breaker: is a single value; write when it opens, such as "
					   "breaker: {failures: 5, max_interval: 1min}\n"},
	{"match: {exe: /x}\nbreaker: {failures: 0}\n", "bots.yaml: breaker.failures: \"0\" is out of range; write 1 to "
						       "1000000, such as 5, or infinity for no breaker\n"},
	{"match: {exe: /x}\nbreaker: {failures: never}\n",
	 "bots.yaml: breaker.failures: \"never\" is not a number; write one such as 5, or infinity for no breaker\n"},
	{"match: {exe: /x}\nbreaker: {factor: 2x}\n", "bots.yaml: breaker.factor: \"2x\" is not a factor; write a "
						      "number with at most three decimals, such as 2 or 1.5\n"},
	{"match: {exe: /x}\nbreaker: {factor: 1.0005}\n",
	 "bots.yaml: breaker.factor: \"1.0005\" is not a factor; write a number with at most three decimals, such as 2 "
	 "or 1.5\n"},
	{"match: {exe: /x}\nbreaker: {factor: 0.5}\n",
	 "bots.yaml: breaker.factor: \"0.5\" is out of range; write 1 to 100, such as 2\n"},
	{"match: {exe: /x}\nbreaker: {factor: 101}\n",
	 "bots.yaml: breaker.factor: \"101\" is out of range; write 1 to 100, such as 2\n"},
	{"match: {exe: /x}\nbreaker: {max_interval: 5min}\n",
	 "bots.yaml: breaker.max_interval: \"5min\" is out of range; write 1s to 2min, the longest that the kernel can "
	 "hold a connect\n"},
	{"match: {exe: /x}\nbreaker: {max_interval: 500ms}\n",
	 "bots.yaml: breaker.max_interval: \"500ms\" is out of range; write 1s to 2min, the longest that the kernel "
	 "can hold a connect\n"},
	{"match: {exe: /x}\nbreaker: {stable_after: 0}\n",
	 "bots.yaml: breaker.stable_after: \"0\" is out of range; write more than 0 and at most 1d, such as 30s\n"},
	{"match: {exe: /x}\nbreaker: {stable_after: 30}\n",
	 "bots.yaml: breaker.stable_after: \"30\" is not a time; write a number with ms, s, min or h, such as 30s or "
	 "1min\n"},
	{"match: {exe: /x}\nsockets: {max: 0}\n",
	 "bots.yaml: sockets.max: \"0\" is out of range; write 1 or more, or infinity\n"},
	{"match: {exe: /x}\nsockets: {max: few}\n",
	 "bots.yaml: sockets.max: \"few\" is not a number of sockets; write a number such as 100, or infinity\n"},
	{"match: {exe: /x}\nsockets: {new_rate: 10}\n", "bots.yaml: sockets.new_rate: \"10\" is not a rate; write a "
							"number per s, min, h or d, such as 10/s, or infinity\n"},
	{"match: {exe: /x}\nsockets: {new_rate: 0/s}\n",
	 "bots.yaml: sockets.new_rate: \"0/s\" is out of range; write 1/d to 1000000/s, or infinity\n"},
	{"match: {exe: /x}\nsockets: []\n",
	 "bots.yaml: sockets: is a list; write what is worth an alert, such as sockets: {max: 100, new_rate: 10/s}\n"},
	{"match: {exe: /x}\nrestart: {limit: 1}\n",
	 "bots.yaml: restart.limit: \"1\" is out of range; write 2 to 100, such as 10, or infinity\n"},
	{"match: {exe: /x}\nrestart: {window: 1ms}\n",
	 "bots.yaml: restart.window: \"1ms\" is out of range; write 1s to 7d, such as 10min\n"},
	{"match: {exe: /x}\nrestart: {on_limit: kill}\n",
	 "bots.yaml: restart.on_limit: \"kill\" is not what can be done at the limit; write freeze, refuse or alert\n"},
	{"match: {exe: /x}\nrestart: {delay: soon}\n", "bots.yaml: restart.delay: \"soon\" is not a time; write a "
						       "number with ms, s, min, h or d, such as 10s or 5min\n"},
	{"match: {exe: /x}\nlifecycle: {idle: 5}\n", "bots.yaml: lifecycle.idle: \"5\" is not a time; write a number "
						     "with ms, s, min, h or d, such as 10s or 5min\n"},
	{"match: {exe: /x}\nlifecycle: {idle: 100ms}\n",
	 "bots.yaml: lifecycle.idle: \"100ms\" is out of range; write 1s to 7d, such as 30s, or infinity\n"},
	{"match: {exe: /x}\nlifecycle: {idle_cpu: 2}\n",
	 "bots.yaml: lifecycle.idle_cpu: \"2\" is not a share of one CPU; write a percentage with at most three "
	 "decimals, such as 2% or 0.5%, 0, or infinity\n"},
	{"match: {exe: /x}\nlifecycle: {idle_cpu: 0.0001%}\n",
	 "bots.yaml: lifecycle.idle_cpu: \"0.0001%\" is not a share of one CPU; write a percentage with at most three "
	 "decimals, such as 2% or 0.5%, 0, or infinity\n"},
	{"match: {exe: /x}\nlifecycle: {idle_cpu: 20000%}\n",
	 "bots.yaml: lifecycle.idle_cpu: \"20000%\" is out of range; write at most 10000%, such as 2%, 0, or "
	 "infinity\n"},
	{"match: {exe: /x}\nlifecycle: {idle_io: 1K}\n",
	 "bots.yaml: lifecycle.idle_io: \"1K\" is not a rate of bytes; write a size per s, min, h or d, such as 1K/s, "
	 "0, or infinity\n"},
	{"match: {exe: /x}\nlifecycle: {idle_net: 5%/s}\n",
	 "bots.yaml: lifecycle.idle_net: \"5%/s\" is not a rate of bytes; write a size per s, min, h or d, such as "
	 "1K/s, 0, or infinity\n"},
	{"match: {exe: /x}\nlifecycle: {idle_net: 2T/s}\n",
	 "bots.yaml: lifecycle.idle_net: \"2T/s\" is out of range; write at most 1T, such as 1K/s, 0, or infinity\n"},
	{"match: {exe: /x}\nlifecycle: {idle_spawns: often}\n",
	 "bots.yaml: lifecycle.idle_spawns: \"often\" is not a rate; write a number per s, min, h or d, such as 1/min, "
	 "0, or infinity\n"},
	{"match: {exe: /x}\nlifecycle: {idle_connects: 2000000/s}\n",
	 "bots.yaml: lifecycle.idle_connects: \"2000000/s\" is out of range; write at most 1000000, such as 1/min, 0, "
	 "or infinity\n"},
	{"match: {exe: /x}\nhung: 1min\n",
	 "bots.yaml: hung: is a single value; write when an agent hangs, such as hung: "
	 "{after: 1min, action: alert}\n"},
	{"match: {exe: /x}\nhung: {action: kill}\n",
	 "bots.yaml: hung.action: \"kill\" is not what can be done with who hangs; write alert or stop\n"},
	{"match: {exe: /x}\nhung: {action: stop}\nprotect: true\n",
	 "bots.yaml: hung.action: \"stop\" would end agents that `protect: true` spares; write alert, or protect: "
	 "false\n"},
	{"match: {exe: /x}\nlifecycle: {per_key: 0}\n",
	 "bots.yaml: lifecycle.per_key: \"0\" is out of range; write 1 to 4096, such as 20, or infinity\n"},
	{"match: {exe: /x}\nlifecycle: {orphan: 1ms}\n",
	 "bots.yaml: lifecycle.orphan: \"1ms\" is out of range; write 1s to 7d, such as 30s, or infinity\n"},
	{"match: {exe: /x}\nlifecycle: {on_duplicate: both}\n",
	 "bots.yaml: lifecycle.on_duplicate: \"both\" is not what can be done with agents of one key; write "
	 "stop-old, stop-new or alert\n"},
	{"match: {exe: \"/x[a\"}\n", "bots.yaml: match.exe: \"/x[a\" is not a glob: a [ is not closed or a \\ stands "
				     "at the end; close it, or write \\[ or \\\\ for the character itself\n"},
	{"match: {exe: \"\"}\n", "bots.yaml: match.exe: \"\" is empty; write a path or a glob\n"},
	{"match: {exe: []}\n", "bots.yaml: match.exe: is an empty list; write a path or glob, or a list of them, such "
			       "as /opt/bots/**/claude, or leave the key out\n"},
	{"match: {exe: /opt/}\n", "bots.yaml: match.exe: \"/opt/\" ends in a slash, which no path here does; leave it "
				  "off, or write /** for everything below\n"},
	{"match: {exe: {a: b}}\n",
	 "bots.yaml: match.exe: is a map; write a path or glob, or a list of them, such as /opt/bots/**/claude\n"},
	{"match: {exe: [[a]]}\n", "bots.yaml: match.exe: an item of the list is a list; write a path or glob, or a "
				  "list of them, such as /opt/bots/**/claude\n"},
	{"match: {exe: [/a, ~]}\n", "bots.yaml: match.exe: an item of the list is empty; write a path or glob, or a "
				    "list of them, such as /opt/bots/**/claude\n"},
	{"match: {script: \"/x\\\\\"}\n",
	 "bots.yaml: match.script: \"/x\\\\\" is not a glob: a [ is not closed or a \\ stands at the end; close it, or "
	 "write \\[ or \\\\ for the character itself\n"},
	{"match: {args: \"(a\"}\n", "bots.yaml: match.args: \"(a\" is not a regular expression that govd takes: "
				    "missing closing parenthesis at offset 2; see pcre2pattern(3)\n"},
	{"match: {args: \"\"}\n",
	 "bots.yaml: match.args: \"\" is empty and would match everything; write a regular expression\n"},
	{"match: {args: ['a\\C']}\n", "bots.yaml: match.args: \"a\\\\C\" is not a regular expression that govd takes: "
				      "using \\C is disabled by the application at offset 3; see pcre2pattern(3)\n"},
	{"match: {env: [A]}\n",
	 "bots.yaml: match.env: is a list; write variables with globs, such as env: {pm_exec_path: \"*/agent.js\"}\n"},
	{"match: {env: {}}\n", "bots.yaml: match.env: is an empty map; write variables with globs, such as env: "
			       "{pm_exec_path: \"*/agent.js\"}, or leave the key out\n"},
	{"match: {env: {A: []}}\n",
	 "bots.yaml: match.env.A: is an empty list; write a glob, or a list of them, or leave the key out\n"},
	{"match: {env: {A=B: x}}\n",
	 "bots.yaml: match.env: \"A=B\" is not the name of a variable; write one such as ROOM\n"},
	{"match: {env: {A: \"[\"}}\n", "bots.yaml: match.env.A: \"[\" is not a glob: a [ is not closed or a \\ stands "
				       "at the end; close it, or write \\[ or \\\\ for the character itself\n"},
	{"match: {env: {A: x, A: y}}\n", "bots.yaml: match.env.A: is given twice; write it once\n"},
	{"match: {env: {A: {B: c}}}\n", "bots.yaml: match.env.A: is a map; write a glob, or a list of them\n"},
	{"match: {user: nosuchuser}\n", "bots.yaml: match.user: \"nosuchuser\" is no user of this host; create it, or "
					"write the name or number of one\n"},
	{"match: {user: [root, nosuchuser]}\n", "bots.yaml: match.user: \"nosuchuser\" is no user of this host; create "
						"it, or write the name or number of one\n"},
	{"match: {usr: root}\n", "bots.yaml: match.usr: unknown key; did you mean user? known here: exe, script, args, "
				 "env, user, cgroup, parent\n"},
	{"match: {exe: /x, exe: /y}\n", "bots.yaml: match.exe: is given twice; write it once\n"},
	{"match: {exe: /x}\nmatch: {exe: /y}\n", "bots.yaml: match: is given twice; write it once\n"},
	{"match: {exe: /x}\nkey: {args: \"(a\"}\n",
	 "bots.yaml: key.args: \"(a\" is not a regular expression that govd takes: missing closing parenthesis at "
	 "offset 2; see pcre2pattern(3)\n"},
	{"match: {exe: /x}\nkey: {args: a, env: B}\n", "bots.yaml: key: has both args and env; write one of them\n"},
	{"match: {exe: /x}\nkey: {env: \"A B\"}\n",
	 "bots.yaml: key.env: \"A B\" is not the name of a variable; write one such as ROOM\n"},
	{"match: {exe: /x}\nkey: {room: a}\n", "bots.yaml: key.room: unknown key; known here: args, env\n"},
	{"match: {exe: /x}\nkey: room\n",
	 "bots.yaml: key: is a single value; write key: {args: \"--room=(\\\\S+)\"} or key: {env: ROOM}\n"},
	{"match: {exe: /x}\nallow: {groups: nosuchgroup}\n",
	 "bots.yaml: allow.groups: \"nosuchgroup\" is no group of this host; create it, or write the name or number of "
	 "one\n"},
	{"match: {exe: /x}\nallow: {users: {a: b}}\n",
	 "bots.yaml: allow.users: is a map; write a user's name, or a list of them, such as [ann]\n"},
	{"match: {exe: /x}\nallow: root\n", "bots.yaml: allow: is a single value; write who may use govctl run, such "
					    "as allow: {users: [ann], groups: [bots]}\n"},
	{"match: {exe: /x}\na: &x 1\n", "bots.yaml: line 2, column 4: anchors and aliases (& and *) are not allowed; "
					"write the value out, or in quotes if it begins with & or *\n"},
	{"match: {exe: /x}\na: *x\n", "bots.yaml: line 2, column 4: anchors and aliases (& and *) are not allowed; "
				      "write the value out, or in quotes if it begins with & or *\n"},
	{"match: {exe: /x}\nmode: !!str enforce\n", "bots.yaml: line 2, column 7: tags (!) are not allowed; write the "
						    "value alone, or in quotes if it begins with !\n"},
	{"match: {exe: /x}\n--- \nmode: enforce\n",
	 "bots.yaml: line 2, column 1: a second document begins here; write one policy a file\n"},
	{"match: {exe: \"/x\\0y\"}\n",
	 "bots.yaml: line 1, column 14: a NUL byte in a value; no path, argument or variable has one\n"},
	{"match: {exe: \"/\377\"}\n", "bots.yaml: line 1, column 16: a byte that YAML doesn't allow; write the file in "
				      "UTF-8 without control characters\n"},
	{"match: {exe: /x\n", "bots.yaml: line 2, column 1: is not YAML: while parsing a flow mapping, did not find "
			      "expected ',' or '}'; write `key: value` lines, indented by spaces, and put values with "
			      "special characters (* & ! % @ { [ : #) in quotes\n"},
	{"match: {script: *.py}\n", "bots.yaml: line 1, column 18: is not YAML: while scanning an alias, did not find "
				    "expected alphabetic or numeric character; write `key: value` lines, indented by "
				    "spaces, and put values with special characters (* & ! % @ { [ : #) in quotes\n"},
	{"match: {user: [a, b\nkey: c\n",
	 "bots.yaml: line 2, column 4: is not YAML: while parsing a flow sequence, did not find expected ',' or ']'; "
	 "write `key: value` lines, indented by spaces, and put values with special characters (* & ! % @ { [ : #) in "
	 "quotes\n"},
	{"match:\n\texe: /x\n", "bots.yaml: line 2, column 1: is not YAML: while scanning for the next token, found "
				"character that cannot start any token; write `key: value` lines, indented by spaces, "
				"and put values with special characters (* & ! % @ { [ : #) in quotes\n"},
	{"match: \"\\x\"\n", "bots.yaml: line 1, column 11: is not YAML: while parsing a quoted scalar, did not find "
			     "expected hexdecimal number; write `key: value` lines, indented by spaces, and put values "
			     "with special characters (* & ! % @ { [ : #) in quotes\n"},
	{"match: {exe: /x}\n[a]: b\n", "bots.yaml: a key is a list; write a word\n"},
	{"match: {exe: /x}\n? {a: b}\n: c\n", "bots.yaml: a key is a map; write a word\n"},
	{"a: [[[[[[[[[1]]]]]]]]]\n", "bots.yaml: line 1, column 11: is nested too deep; the deepest key has three "
				     "levels, such as match: {env: {NAME: [a, b]}}\n"},
	{"match: {exe: /x}\nmode: enforce # fine\nhold: x\nprotect: 7\nstop: {grace: soon, signal: X}\n",
	 "bots.yaml: hold: \"x\" is not a way to hold; write auto or never\n"
	 "bots.yaml: stop.signal: \"X\" is not a signal; write a name such as TERM, INT, QUIT or SIGTERM\n"
	 "bots.yaml: stop.grace: \"soon\" is not a time; write a number with ms, s, min or h, such as 10s or 2min\n"
	 "bots.yaml: protect: \"7\" is neither true nor false; write one of them\n"},
	{"match: {exe: /x}\n\"a\\nb\": c\n",
	 "bots.yaml: a\\x0ab: unknown key; known here: match, key, mode, hold, "
	 "placement, allow, memory, cpu, tasks, tools, connect, "
	 "breaker, sockets, restart, lifecycle, hung, leak, stop, bulk, priority, protect\n"},
	{"match: {exe: /x}\nmode: \"\\e[31mred\"\n",
	 "bots.yaml: mode: \"\\x1b[31mred\" is not a mode; write enforce or observe\n"},
	{"match: {exe: /x}: y\n",
	 "bots.yaml: line 1, column 17: is not YAML: mapping values are not allowed in this context; write `key: "
	 "value` lines, indented by spaces, and put values with special characters (* & ! % @ { [ : #) in quotes\n"},
	{"match: {parent: \"[\", cgroup: \"[\"}\n",
	 "bots.yaml: match.cgroup: \"[\" is not a glob: a [ is not closed or a \\ stands at the end; close it, or "
	 "write \\[ or \\\\ for the character itself\n"
	 "bots.yaml: match.parent: \"[\" is not a glob: a [ is not closed or a \\ stands at the end; close it, or "
	 "write \\[ or \\\\ for the character itself\n"},
	{"match: {exe: /x}\n\001\n", "bots.yaml: line 2, column 1: a byte that YAML doesn't allow; write the file in "
				     "UTF-8 without control characters\n"},
};

Test(conf, every_error_is_told_with_file_path_and_remedy)
{
	for (size_t i = 0; i < ELEMENTSOF(bad_cases); i++) {
		struct policy *policy = NULL;
		struct conf_errors errors = {0};
		_cleanup_free_ char *told = NULL;

		cr_expect_eq(parse(bad_cases[i].text, &policy, &errors), -EINVAL, "%s", bad_cases[i].text);
		told = joined(&errors);
		cr_expect_str_eq(told, bad_cases[i].errors, "for:\n%s\ngot:\n%s\nnot:\n%s", bad_cases[i].text, told,
				 bad_cases[i].errors);
		cr_expect_null(policy);
		conf_errors_done(&errors);
	}
}

/* A thousand errors in a file don't fill the memory or the log. */
Test(conf, errors_are_bounded)
{
	struct conf_errors errors = {0};

	for (int i = 0; i < 5000; i++)
		cr_assert_eq(conf_errors_add(&errors, "f", "k", "%d", i), 0);
	cr_assert_eq(errors.n, 1001);
	cr_expect_str_eq(errors.lines[999], "f: k: 999");
	cr_expect_str_eq(errors.lines[1000], "there are more errors, which are not shown");
	conf_errors_done(&errors);
}
