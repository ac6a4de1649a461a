/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "conf/conf.h"

static const struct conf_host host = {.memory_bytes = UINT64_C(8) << 30};

struct bad_case {
	const char *text, *errors;
};

static char dir[64], path[128];

static void tree_make(void)
{
	strcpy(dir, "/tmp/govtest-conf-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static int tree_remove_one(const char *file, const struct stat *st _unused_, int type _unused_,
			   struct FTW *where _unused_)
{
	return remove(file);
}

static void tree_remove(void)
{
	nftw(dir, tree_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *in_tree(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(in_tree(name), "w");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

TestSuite(conf_files, .init = tree_make, .fini = tree_remove, .timeout = 20);

static void expect_load(const char *name, int error, const char *message)
{
	struct conf_errors errors = {0};
	struct policy *policy = NULL;
	char line[512];

	cr_expect_eq(conf_policy_load(in_tree(name), &host, &policy, &errors), error, "%s", name);
	snprintf(line, sizeof(line), "%s: %s", path, message);
	cr_assert_eq(errors.n, 1, "%s: %zu", name, errors.n);
	cr_expect_str_eq(errors.lines[0], line);
	conf_errors_done(&errors);
}

Test(conf_files, what_is_no_policy_file)
{
	int fd;

	put("my bot.yaml", "match: {exe: /x}\n");
	expect_load("my bot.yaml", -EINVAL,
		    "\"my bot\" is not a name for a policy; name the file with letters, digits, `.`, `_` and `-`, at "
		    "most 63, "
		    "not beginning with `.` or `-`");
	cr_assert_eq(mkdir(in_tree("d.yaml"), 0700), 0);
	expect_load("d.yaml", -EISDIR, "is a directory; a policy is a file NAME.yaml");
	cr_assert_eq(mkfifo(in_tree("f.yaml"), 0600), 0);
	expect_load("f.yaml", -EINVAL, "is neither a file nor a link to one; write a plain file");
	expect_load("none.yaml", -ENOENT, "doesn't exist");
	cr_assert_eq(symlink("loop.yaml", in_tree("loop.yaml")), 0);
	expect_load("loop.yaml", -ELOOP, "is a link that leads in a circle; link to a file");
	fd = open(in_tree("big.yaml"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, 100 << 20), 0);
	close(fd);
	expect_load("big.yaml", -EFBIG, "is larger than 1024 KiB; split it");
}

static struct policy_set *load_all(const struct policy_set *previous, struct conf_errors *errors)
{
	char one[128], two[128], host_file[128];
	const char *dirs[] = {one, two};
	struct policy_set *set = NULL;
	const struct conf_source source = {
		.dirs = dirs, .n_dirs = 2, .host_file = host_file, .host = &host, .previous = previous};

	strcpy(one, in_tree("etc"));
	strcpy(two, in_tree("usr"));
	strcpy(host_file, in_tree("govd.yaml"));
	cr_assert_eq(conf_load_all(&source, &set, errors), 0);
	return set;
}

static void make_dirs(void)
{
	cr_assert_eq(mkdir(in_tree("etc"), 0700), 0);
	cr_assert_eq(mkdir(in_tree("usr"), 0700), 0);
}

Test(conf_files, directories_override_mask_and_keep)
{
	struct conf_errors errors = {0};
	struct policy_set *set, *next;

	make_dirs();
	put("usr/a.yaml", "match: {exe: /usr/a}\n");
	put("etc/a.yaml", "match: {exe: /etc/a}\n");
	put("usr/a-b.yaml", "match: {env: {A: x}}\nkey: {env: B}\n");
	put("usr/masked.yaml", "match: {exe: /usr/m}\n");
	cr_assert_eq(symlink("/dev/null", in_tree("etc/masked.yaml")), 0);
	put("usr/empty.yaml", "match: {exe: /usr/e}\n");
	put("etc/empty.yaml", "");
	put("usr/.hidden.yaml", "nonsense");
	put("usr/z.yaml~", "nonsense");
	put("usr/bad.yaml", "nonsense: 1\nmatch: {exe: /b}\n");
	put("govd.yaml", "protect: /usr/sbin/sshd\nincidents: {keep: 1d}\nwatch_strangers: true\n"
			 "drain_on_stop: true\n");
	set = load_all(NULL, &errors);
	cr_assert_eq(errors.n, 1);
	cr_assert_eq(set->n, 2);
	cr_expect_str_eq(set->policies[0]->name, "a");
	cr_expect_str_eq(set->policies[0]->match.exe.globs[0], "/etc/a");
	cr_expect_str_eq(set->policies[1]->name, "a-b");
	cr_expect_eq(policy_set_find(set, "a-b"), set->policies[1]);
	cr_expect_null(policy_set_find(set, "masked"));
	cr_assert_eq(set->n_env_names, 3);
	cr_expect_str_eq(set->env_names[0], "pm_exec_path");
	cr_expect_eq(set->host.incidents_keep_ns, 86400 * NSEC_PER_SEC);
	cr_expect_eq(set->host.incidents_max, 1000000);
	cr_expect(set->host.watch_strangers);
	cr_expect(set->host.drain_on_stop);
	cr_assert_eq(set->host.protect.n, 1);

	/* A change that is wrong leaves what was in force there; what is gone goes. */
	put("etc/a.yaml", "match: {exe: \"[\"}\n");
	put("govd.yaml", "protect: {}\n");
	cr_assert_eq(remove(in_tree("usr/a-b.yaml")), 0);
	conf_errors_done(&errors);
	next = load_all(set, &errors);
	cr_assert_eq(errors.n, 3);
	cr_assert_eq(next->n, 1);
	cr_expect_eq(next->policies[0], set->policies[0]);
	cr_assert_eq(next->host.protect.n, 1);
	cr_expect_str_eq(next->host.protect.globs[0], "/usr/sbin/sshd");
	cr_expect(next->host.watch_strangers);
	policy_set_unref(set);
	cr_expect_str_eq(next->policies[0]->match.exe.globs[0], "/etc/a", "the set has references of its own");
	policy_set_unref(next);
	conf_errors_done(&errors);
}

Test(conf_files, nothing_at_all_is_fine)
{
	struct conf_errors errors = {0};
	struct policy_set *set = load_all(NULL, &errors);

	cr_expect_eq(errors.n, 0);
	cr_expect_eq(set->n, 0);
	cr_expect_eq(set->host.incidents_keep_ns, 30 * 86400 * NSEC_PER_SEC);
	cr_expect_eq(set->host.emergency.memory_available.pct, 5);
	cr_expect_eq(set->host.emergency.memory_available.bytes, 0);
	cr_expect_eq(set->host.emergency.pressure_full_pct, 20);
	cr_expect_eq(set->host.emergency.for_ns, 5 * NSEC_PER_SEC);
	cr_expect_eq(set->host.emergency.kills_per_min, 3);
	cr_expect_not(set->host.watch_strangers);
	cr_expect_not(set->host.drain_on_stop);
	policy_set_unref(set);
}

Test(conf_files, a_directory_that_cannot_be_read_keeps_its_policies)
{
	struct conf_errors errors = {0};
	struct policy_set *set, *next;

	make_dirs();
	put("usr/a.yaml", "match: {exe: /usr/a}\n");
	set = load_all(NULL, &errors);
	cr_assert_eq(remove(in_tree("usr/a.yaml")), 0);
	cr_assert_eq(remove(in_tree("usr")), 0);
	put("usr", "a file");
	next = load_all(set, &errors);
	cr_assert_eq(errors.n, 1);
	cr_assert_eq(next->n, 1);
	cr_expect_eq(next->policies[0], set->policies[0]);
	policy_set_unref(set);
	policy_set_unref(next);
	conf_errors_done(&errors);
}

Test(conf_files, host_errors)
{
	static const struct bad_case cases[] = {
		{"incidents: {keep: 30}\n",
		 "incidents.keep: \"30\" is not a time; write a number with s, min, h or d, such as 12h or 30d"},
		{"incidents: {max: 0}\n", "incidents.max: \"0\" is out of range; write 1 or more"},
		{"log: {rate: 400/s}\n", "log: is not supported by this version of govd; leave it out"},
		{"emergency: 5%\n", "emergency: is a single value; write when, such as emergency: "
				    "{memory_available: 5%, pressure_full: 20%}"},
		{"emergency: {memory_available: 5}\n",
		 "emergency.memory_available: \"5\" is out of range; write 1% to 100%, a size of 1M or more, or off"},
		{"emergency: {memory_available: much}\n", "emergency.memory_available: \"much\" is not a part of the "
							  "host's memory; write a percentage or a size, "
							  "such as 5% or 500M, or off"},
		{"emergency: {pressure_full: 101%}\n",
		 "emergency.pressure_full: \"101%\" is out of range; write 1% to 100%, or off"},
		{"emergency: {for: 100ms}\n",
		 "emergency.for: \"100ms\" is out of range; write 500ms to 1min, such as 5s"},
		{"emergency: {kills_per_min: 61}\n",
		 "emergency.kills_per_min: \"61\" is out of range; write 0 (nobody is ended) to 60"},
		{"watch_strangers: some\n", "watch_strangers: \"some\" is neither true nor false; write one of them"},
		{"protct: [/x]\n", "protct: unknown key; did you mean protect? known here: emergency, incidents, "
				   "watch_strangers, drain_on_stop, protect"},
		{"drain_on_stop: []\n", "drain_on_stop: is a list; write true or false"},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct conf_errors errors = {0};
		struct host_config config;
		char line[512];

		put("govd.yaml", cases[i].text);
		cr_expect_eq(conf_host_load(in_tree("govd.yaml"), &config, &errors), -EINVAL);
		cr_assert_eq(errors.n, 1);
		snprintf(line, sizeof(line), "%s: %s", path, cases[i].errors);
		cr_expect_str_eq(errors.lines[0], line);
		conf_errors_done(&errors);
	}
}

static struct host_emergency emergency_of(const char *text)
{
	struct conf_errors errors = {0};
	struct host_config config;

	put("govd.yaml", text);
	cr_assert_eq(conf_host_load(in_tree("govd.yaml"), &config, &errors), 0, "%s", text);
	host_config_done(&config);
	return config.emergency;
}

Test(conf_files, host_emergency)
{
	struct host_emergency emergency = emergency_of(
		"emergency: {memory_available: 300M, pressure_full: 100%, for: 500ms, kills_per_min: 0}\n");

	cr_expect_eq(emergency.memory_available.bytes, 300 << 20);
	cr_expect_eq(emergency.memory_available.pct, 0);
	cr_expect_eq(emergency.pressure_full_pct, 100);
	cr_expect_eq(emergency.for_ns, 500 * NSEC_PER_MSEC);
	cr_expect_eq(emergency.kills_per_min, 0);
	emergency =
		emergency_of("emergency: {memory_available: off, pressure_full: off, for: 1min, kills_per_min: 60}\n");
	cr_expect_eq(emergency.memory_available.bytes, 0);
	cr_expect_eq(emergency.memory_available.pct, 0);
	cr_expect_eq(emergency.pressure_full_pct, 0);
	cr_expect_eq(emergency.for_ns, 60 * NSEC_PER_SEC);
	cr_expect_eq(emergency.kills_per_min, 60);
	emergency = emergency_of("emergency: {memory_available: 100%}\n");
	cr_expect_eq(emergency.memory_available.pct, 100);
	cr_expect_eq(emergency.kills_per_min, 3);
}
