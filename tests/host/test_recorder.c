/* SPDX-License-Identifier: GPL-2.0-or-later */
/* govd-recorder and govd's side of it, with real disks in all their states. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "out/recorder.h"

#define DEADLINE_NS (20 * NSEC_PER_SEC)

static char top[] = "/tmp/govtest-recorder-XXXXXX";
static char state_dir[256], db_path[512], program[PATH_MAX];
static struct recorder *recorder;
static bool is_mounted;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static uint64_t now_ms(void)
{
	return (uint64_t)time(NULL) * 1000;
}

static int remove_one(const char *path, const struct stat *st _unused_, int flag _unused_, struct FTW *ftw _unused_)
{
	return remove(path);
}

static void setup(void)
{
	const char *build = getenv("GOVD_BUILD");

	snprintf(program, sizeof(program), "%s/govd-recorder", build ? build : "build");
	cr_assert(access(program, X_OK) == 0, "%s: make it first", program);
	cr_assert_not_null(mkdtemp(top));
	snprintf(state_dir, sizeof(state_dir), "%s/state", top);
	snprintf(db_path, sizeof(db_path), "%s/%s", state_dir, GOV_INCIDENT_DB);
}

static void teardown(void)
{
	recorder = recorder_free(recorder);
	if (is_mounted)
		umount2(state_dir, MNT_DETACH);
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void start(void)
{
	cr_assert_eq(recorder_new(program, state_dir, &recorder), 0);
	cr_assert_gt(recorder_pid(recorder), 0);
}

static struct recorder_stats stats(void)
{
	struct recorder_stats s;

	cr_assert_eq(recorder_dispatch(recorder), 0);
	recorder_get_stats(recorder, &s);
	return s;
}

/* Polls until the condition holds. */
#define WAIT_FOR(condition)                                                                                            \
	do {                                                                                                           \
		uint64_t until_ = now_ns() + DEADLINE_NS;                                                              \
		while (!(condition)) {                                                                                 \
			cr_assert(now_ns() < until_, "timeout: %s", #condition);                                       \
			(void)poll(NULL, 0, 10);                                                                       \
		}                                                                                                      \
	} while (0)

static void add(const char *key, uint64_t number)
{
	struct incident incident = {
		.kind = INCIDENT_PLACED,
		.agent = "0badcafe",
		.policy = "demo",
		.rule = "match",
		.action = "place",
		.result = "done",
		.by_uid = INCIDENT_BY_GOVD,
	};

	snprintf(incident.key, sizeof(incident.key), "%s", key);
	incident_add_number(&incident, "number", number);
	recorder_add(recorder, now_ms(), &incident);
}

static void add_many(size_t n)
{
	for (size_t i = 0; i < n; i++)
		add("many", i);
}

/* The first column of the first row as text; "" without one. */
static const char *query(const char *sql)
{
	static char answer[GOV_INCIDENT_TEXT_MAX];
	sqlite3_stmt *statement = NULL;
	sqlite3 *db = NULL;

	answer[0] = '\0';
	cr_assert_eq(sqlite3_open_v2(db_path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW &&
	    sqlite3_column_text(statement, 0))
		snprintf(answer, sizeof(answer), "%s", (const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return answer;
}

static uint64_t count_rows(void)
{
	return strtoull(query("SELECT count(*) FROM incidents"), NULL, 10);
}

static void execute(const char *sql)
{
	sqlite3 *db = NULL;

	cr_assert_eq(sqlite3_open(db_path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

static void mount_small(const char *options)
{
	cr_assert_eq(mkdir(state_dir, 0750), 0);
	cr_assert_eq(mount("govtest", state_dir, "tmpfs", 0, options), 0, "%s", strerror(errno));
	is_mounted = true;
}

TestSuite(recorder, .init = setup, .fini = teardown, .timeout = 60);

Test(recorder, writes_every_column)
{
	struct incident incident = {
		.kind = INCIDENT_STOPPED,
		.agent = "12345678",
		.policy = "bots",
		.key = "room-7",
		.rule = "stop",
		.action = "kill",
		.result = "failed",
		.error = ESRCH,
		.by_uid = 0,
	};
	json_t *evidence;
	struct stat st;

	start();
	incident_add_number(&incident, "killed", 3);
	incident_add_text(&incident, "exe", "/opt/bot");
	recorder_add(recorder, 1700000000123, &incident);
	recorder = recorder_free(recorder);
	cr_expect_str_eq(query("SELECT time FROM incidents"), "1700000000123");
	cr_expect_str_eq(
		query("SELECT kind || ' ' || agent || ' ' || policy || ' ' || key || ' ' || rule || ' ' || action "
		      "|| ' ' || result || ' ' || by FROM incidents"),
		"stopped 12345678 bots room-7 stop kill failed root");
	evidence = json_loads(query("SELECT evidence FROM incidents"), 0, NULL);
	cr_expect_eq(json_integer_value(json_object_get(evidence, "killed")), 3);
	cr_expect_str_eq(json_string_value(json_object_get(evidence, "exe")), "/opt/bot");
	cr_expect_str_eq(json_string_value(json_object_get(evidence, "error")), "ESRCH: No such process");
	json_decref(evidence);
	cr_expect_str_eq(query("PRAGMA user_version"), "1");
	cr_expect_str_eq(query("PRAGMA journal_mode"), "wal");
	cr_expect(stat(db_path, &st) == 0 && (st.st_mode & 0777) == 0640, "mode %o", st.st_mode & 0777U);
	cr_expect(stat(state_dir, &st) == 0 && (st.st_mode & 0777) == 0750, "mode %o", st.st_mode & 0777U);
}

Test(recorder, tells_who_asked)
{
	const uint32_t who[] = {INCIDENT_BY_GOVD, INCIDENT_BY_KERNEL, 0, 3999999999};

	start();
	for (size_t i = 0; i < ELEMENTSOF(who); i++)
		recorder_add(recorder, now_ms(), &(struct incident){.kind = INCIDENT_ALERT, .by_uid = who[i]});
	recorder = recorder_free(recorder);
	cr_expect_str_eq(query("SELECT group_concat(by) FROM (SELECT by FROM incidents ORDER BY id)"),
			 "govd,kernel,root,3999999999");
}

Test(recorder, reports_what_it_has_written)
{
	start();
	add_many(1000);
	WAIT_FOR(stats().written == 1000);
	cr_expect_eq(stats().sent, 1000);
	cr_expect_eq(stats().dropped, 0);
	cr_expect_eq(stats().failed, 0);
	cr_expect_eq(count_rows(), 1000);
}

Test(recorder, stores_hostile_texts_faithfully)
{
	static const char hostile[] = "'; DROP TABLE incidents; --\n\x1b[2J\"\\\xff\xfe\xc0\xaf";
	struct incident incident = {.kind = INCIDENT_PLACED, .by_uid = INCIDENT_BY_GOVD};
	json_t *evidence;

	snprintf(incident.key, sizeof(incident.key), "%s", hostile);
	incident_add_text(&incident, "comm", hostile);
	start();
	recorder_add(recorder, now_ms(), &incident);
	recorder = recorder_free(recorder);
	cr_expect_str_eq(query("SELECT key FROM incidents"), hostile);
	evidence = json_loads(query("SELECT evidence FROM incidents"), 0, NULL);
	cr_assert_not_null(evidence);
	cr_expect_str_eq(json_string_value(json_object_get(evidence, "comm")),
			 "'; DROP TABLE incidents; --\n\x1b[2J\"\\\\xff\\xfe\\xc0\\xaf");
	json_decref(evidence);
}

Test(recorder, cuts_evidence_that_is_too_long)
{
	struct incident incident = {.kind = INCIDENT_PLACED, .by_uid = INCIDENT_BY_GOVD, .error = EIO};
	static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
	char text[INCIDENT_FACT_TEXT_MAX];
	json_t *evidence;

	/* Each byte is six in JSON: all of them don't fit into a message. */
	memset(text, 1, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		incident_add_text(&incident, names[i], text);
	cr_expect_eq(incident.n_facts, INCIDENT_TEXTS_MAX / INCIDENT_FACT_TEXT_MAX);
	start();
	recorder_add(recorder, now_ms(), &incident);
	recorder = recorder_free(recorder);
	evidence = json_loads(query("SELECT evidence FROM incidents"), 0, NULL);
	cr_assert_not_null(evidence);
	cr_expect_str_eq(json_string_value(json_object_get(evidence, "a")), text);
	cr_expect(json_is_true(json_object_get(evidence, "cut")));
	cr_expect_not_null(json_object_get(evidence, "error"));
	json_decref(evidence);
}

Test(recorder, keeps_no_more_rows_than_allowed)
{
	start();
	recorder_set_keep(recorder, UINT64_MAX, 100);
	for (size_t i = 0; i < 5; i++) {
		add_many(500);
		WAIT_FOR(stats().written == (i + 1) * 500);
	}
	WAIT_FOR(count_rows() == 100);
	cr_expect_str_eq(query("SELECT max(id) FROM incidents"), "2500");
}

Test(recorder, keeps_rows_no_longer_than_allowed)
{
	struct incident old = {.kind = INCIDENT_ALERT, .by_uid = INCIDENT_BY_GOVD};

	start();
	for (size_t i = 0; i < 1000; i++)
		recorder_add(recorder, now_ms() - UINT64_C(7200000), &old);
	add("new", 1);
	WAIT_FOR(stats().written == 1001);
	cr_expect_eq(count_rows(), 1001);
	recorder_set_keep(recorder, 3600 * NSEC_PER_SEC, 1000000);
	for (size_t i = 0; i < 3; i++) {
		uint64_t before = stats().written;

		add("newer", i);
		WAIT_FOR(stats().written > before);
	}
	WAIT_FOR(count_rows() == 4);
}

Test(recorder, survives_a_full_disk)
{
	char path[512];
	static char block[65536];
	int fd;

	mount_small("size=512k");
	start();
	add_many(10);
	WAIT_FOR(stats().written == 10);
	snprintf(path, sizeof(path), "%s/ballast", state_dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	cr_assert_geq(fd, 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	cr_assert_eq(errno, ENOSPC);
	close(fd);
	for (uint64_t until = now_ns() + DEADLINE_NS; stats().error == 0;) {
		cr_assert(now_ns() < until);
		add_many(20);
		(void)poll(NULL, 0, 20);
	}
	cr_expect_neq(stats().error_text[0], '\0');
	/* More than it keeps in memory. */
	for (uint64_t until = now_ns() + DEADLINE_NS; stats().failed == 0;) {
		cr_assert(now_ns() < until);
		add_many(100);
	}
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mount(NULL, state_dir, NULL, MS_REMOUNT, "size=64m"), 0);
	WAIT_FOR(stats().error == 0);
	WAIT_FOR(stats().written + stats().failed == stats().sent);
	cr_expect_eq(stats().restarts, 0);
	cr_expect_eq(count_rows(), stats().written);
	recorder = recorder_free(recorder);
}

Test(recorder, survives_a_read_only_disk)
{
	mount_small("size=8m");
	cr_assert_eq(mount(NULL, state_dir, NULL, MS_REMOUNT | MS_RDONLY, "size=8m"), 0);
	start();
	add_many(10);
	WAIT_FOR(stats().error != 0);
	cr_expect_neq(stats().error_text[0], '\0');
	cr_assert_eq(mount(NULL, state_dir, NULL, MS_REMOUNT, "size=8m"), 0);
	WAIT_FOR(stats().written == 10);
	cr_expect_eq(stats().error, 0);
	cr_expect_eq(stats().error_text[0], '\0');
	recorder = recorder_free(recorder);
}

Test(recorder, makes_a_deleted_directory_again)
{
	start();
	add("before", 1);
	WAIT_FOR(stats().written == 1);
	nftw(state_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	cr_assert_eq(access(state_dir, F_OK), -1);
	add("after", 2);
	WAIT_FOR(stats().written == 2);
	cr_expect_str_eq(query("SELECT group_concat(key) FROM incidents"), "after");
}

Test(recorder, sets_a_corrupt_database_aside)
{
	static const char garbage[] = "This is no database, however long one looks at it. ";
	unsigned found = 0;
	struct dirent *entry;
	FILE *file;
	DIR *dir;

	cr_assert_eq(mkdir(state_dir, 0750), 0);
	file = fopen(db_path, "w");
	for (size_t i = 0; i < 1000; i++)
		fputs(garbage, file);
	fclose(file);
	start();
	add("new", 1);
	WAIT_FOR(stats().written == 1);
	cr_expect_str_eq(query("SELECT key FROM incidents"), "new");
	dir = opendir(state_dir);
	while ((entry = readdir(dir)))
		found += strncmp(entry->d_name, "incidents.db.corrupt-", strlen("incidents.db.corrupt-")) == 0;
	closedir(dir);
	cr_expect_eq(found, 1);
}

Test(recorder, leaves_a_newer_database_alone)
{
	cr_assert_eq(mkdir(state_dir, 0750), 0);
	execute("CREATE TABLE future (x); PRAGMA user_version = 2;");
	start();
	add("new", 1);
	WAIT_FOR(stats().error != 0);
	cr_expect_not_null(strstr(stats().error_text, "version 2"), "%s", stats().error_text);
	recorder = recorder_free(recorder);
	cr_expect_str_eq(query("SELECT group_concat(name) FROM sqlite_master"), "future");
	cr_expect_str_eq(query("PRAGMA journal_mode"), "delete");
}

Test(recorder, is_started_again_when_it_was_killed)
{
	uint64_t began_ns;
	pid_t first;

	start();
	add_many(10);
	WAIT_FOR(stats().written == 10);
	first = recorder_pid(recorder);
	cr_assert_eq(kill(first, SIGKILL), 0);
	began_ns = now_ns();
	add_many(500);
	cr_expect_lt(now_ns() - began_ns, NSEC_PER_SEC, "adding blocked");
	WAIT_FOR(recorder_watch_over(recorder, now_ns()) == 0 && recorder_fd(recorder) >= 0 &&
		 recorder_pid(recorder) != first);
	/* The backoff: not at once. */
	cr_expect_geq(now_ns() - began_ns, NSEC_PER_SEC * 9 / 10);
	add_many(10);
	WAIT_FOR(stats().written + stats().dropped == 520);
	cr_expect_eq(stats().restarts, 1);
	cr_expect_geq(stats().written, 20);
	cr_expect_eq(count_rows(), stats().written);
}

Test(recorder, never_blocks_govd_and_counts_what_is_lost)
{
	const size_t n = 20000;
	uint64_t began_ns, lost;

	start();
	add("first", 0);
	WAIT_FOR(stats().written == 1);
	cr_assert_eq(kill(recorder_pid(recorder), SIGSTOP), 0);
	began_ns = now_ns();
	add_many(n);
	cr_expect_lt(now_ns() - began_ns, 5 * NSEC_PER_SEC, "adding blocked");
	lost = stats().dropped;
	cr_expect_gt(lost, 0);
	/* What the socket takes, and the queue of 1024. */
	cr_expect_geq(n - lost, 1024 + 64);
	cr_assert_eq(kill(recorder_pid(recorder), SIGCONT), 0);
	WAIT_FOR(stats().written == n + 1 - lost);
	cr_expect_eq(stats().dropped, lost);
	cr_expect_eq(count_rows(), n + 1 - lost);
}

Test(recorder, ignores_the_signals_of_a_stopping_service)
{
	start();
	add("one", 1);
	WAIT_FOR(stats().written == 1);
	cr_assert_eq(kill(recorder_pid(recorder), SIGTERM), 0);
	cr_assert_eq(kill(recorder_pid(recorder), SIGINT), 0);
	add("two", 2);
	WAIT_FOR(stats().written == 2);
	cr_expect_eq(stats().restarts, 0);
}

Test(recorder, writes_what_it_has_before_it_ends)
{
	pid_t pid;

	start();
	pid = recorder_pid(recorder);
	add_many(1000);
	recorder = recorder_free(recorder);
	cr_expect_eq(count_rows(), 1000);
	cr_expect_eq(kill(pid, 0), -1);
}

Test(recorder, says_when_there_is_no_program)
{
	struct recorder *none = NULL;

	cr_expect_eq(recorder_new("/nonexistent/govd-recorder", state_dir, &none), -ENOENT);
	cr_expect_null(none);
}
