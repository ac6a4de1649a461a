/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support.h"

#include <signal.h>

#include "base/idmap.h"

/* A ring that is too small: what it loses is counted, and found again. */

#define STORM 400
#define SLEEPERS 60

static void note(const struct gov_record_head *record, void *userdata)
{
	struct idmap *seen = userdata;

	if (record->kind != GOV_RECORD_EXEC)
		return;
	cr_expect_null(idmap_get(seen, record->mark), "mark %llu twice", (unsigned long long)record->mark);
	cr_assert_eq(idmap_put(seen, record->mark, seen), 0);
}

Test(loss, lost_execs_are_counted_kept_and_drained_once)
{
	struct bench bench;
	struct gov_count counts[GOV_RECORD_KINDS];
	struct idmap seen = {};
	char path[96];

	bench_open(&bench, 4096);
	bench_copy(&bench, "/bin/true", "agent", path);
	bench_candidates(&bench, "agent", NULL);
	for (int i = 0; i < STORM; i++)
		cr_assert_eq(run((const char *[]){path, "argument", NULL}), 0);
	cr_assert_eq(bpf_sense_counts(bench.sense, counts), 0);
	cr_expect_eq(counts[GOV_RECORD_EXEC].sent + counts[GOV_RECORD_EXEC].lost, STORM);
	cr_expect_gt(counts[GOV_RECORD_EXEC].lost, STORM / 2);
	/* The overflow has room for all of them. */
	cr_expect_eq(counts[GOV_RECORD_EXEC].kept, counts[GOV_RECORD_EXEC].lost);
	cr_expect_eq(counts[GOV_RECORD_EXIT].sent + counts[GOV_RECORD_EXIT].lost, STORM);

	cr_assert_geq(bpf_sense_read(bench.sense, 0, note, &seen), 0);
	cr_expect_eq(seen.used, counts[GOV_RECORD_EXEC].sent);
	cr_assert_eq(bpf_sense_drain_overflow(bench.sense, note, &seen), 0);
	cr_expect_eq(seen.used, STORM);
	cr_assert_eq(bpf_sense_drain_overflow(bench.sense, note, &seen), 0);
	cr_expect_eq(seen.used, STORM);
	idmap_done(&seen);
	bench_close(&bench);
}

Test(loss, ring_works_on_after_it_was_full)
{
	struct bench bench;
	char path[96];

	bench_open(&bench, 4096);
	bench_copy(&bench, "/bin/true", "agent", path);
	bench_candidates(&bench, "agent", NULL);
	/* Round the ring's end many times. */
	for (int i = 0; i < STORM; i++) {
		pid_t pid = start((const char *[]){path, "argument", NULL});

		bench_wait(&bench, is_exec_of, &pid, "exec");
		cr_assert_eq(wait_for(pid), 0);
		if (i % 100 == 50)
			for (int j = 0; j < 30; j++)
				cr_assert_eq(run((const char *[]){path, NULL}), 0);
		bench_read(&bench);
	}
	bench_close(&bench);
}

static void tick_off(const struct gov_census_task *task, void *userdata)
{
	pid_t *pids = userdata;

	for (size_t i = 0; i < SLEEPERS; i++)
		if (pids[i] == (pid_t)task->pid) {
			cr_expect_eq(task->root_pid, task->pid);
			cr_expect_neq(task->mark, 0);
			cr_expect_eq(task->ppid, (uint32_t)getpid());
			pids[i] = 0;
		}
}

Test(loss, census_finds_every_marked_process)
{
	struct bench bench;
	pid_t pids[SLEEPERS], left[SLEEPERS];
	struct gov_count counts[GOV_RECORD_KINDS];
	char path[96];

	bench_open(&bench, 4096);
	bench_copy(&bench, "/bin/sleep", "agent", path);
	bench_candidates(&bench, "agent", NULL);
	for (size_t i = 0; i < SLEEPERS; i++)
		pids[i] = start((const char *[]){path, "60", NULL});
	for (int i = 0; i < WAIT_MS / 10; i++) {
		cr_assert_eq(bpf_sense_counts(bench.sense, counts), 0);
		if (counts[GOV_RECORD_EXEC].sent + counts[GOV_RECORD_EXEC].lost == SLEEPERS)
			break;
		usleep(10000);
	}
	cr_expect_gt(counts[GOV_RECORD_EXEC].lost, 0);
	memcpy(left, pids, sizeof(left));
	cr_assert_eq(bpf_sense_census(bench.sense, tick_off, left), 0);
	for (size_t i = 0; i < SLEEPERS; i++) {
		cr_expect_eq(left[i], 0, "not in the census: %d", left[i]);
		kill(pids[i], SIGKILL);
		wait_for(pids[i]);
	}
	/* The dead aren't in it. */
	memcpy(left, pids, sizeof(left));
	cr_assert_eq(bpf_sense_census(bench.sense, tick_off, left), 0);
	cr_expect_arr_eq(left, pids, sizeof(left));
	bench_close(&bench);
}
