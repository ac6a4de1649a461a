/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "group_fixture.h"

/* Strangers that have the pid of an agent's root by now, and agents that are being debugged. */

TestSuite(group_spare, .timeout = 30);

/* A child of this pid, which must be free; as after a wrap of the pids, and without the wait (clone(2), set_tid). */
static pid_t spawn_as(struct fixture *f, pid_t wanted)
{
	struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&wanted, .set_tid_size = 1};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	cr_assert_eq(pid, wanted, "clone3 with set_tid: %s", strerror(errno));
	f->children[f->n_children++] = pid;
	return pid;
}

/* An agent of two processes, whose root has ended, and a stranger with the root's pid. Returns that pid. */
static pid_t replace_root(struct fixture *f, pid_t *ret_other)
{
	pid_t root;

	fixture_open(f);
	root = fixture_spawn_idle(f);
	*ret_other = fixture_spawn_idle(f);
	cr_assert_eq(place(f, root), 0);
	cr_assert_eq(act_on(f, ACTION_MOVE, *ret_other, 0, 0), 0);
	kill(root, SIGKILL);
	cr_assert_eq(waitpid(root, NULL, 0), root);
	f->children[0] = *ret_other;
	f->n_children = 1;
	return spawn_as(f, root);
}

static bool lives(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) == 0;
}

Test(group_spare, a_signal_between_whose_decision_and_sending_the_pid_was_reused)
{
	struct fixture f;
	pid_t other, stranger = replace_root(&f, &other);

	cr_expect_eq(act_on(&f, ACTION_SIGNAL, stranger, f.agent.root_start_ticks, SIGKILL), -ESRCH);
	/* In the same tick of 10 ms, or so it looks: the start times are equal. */
	f.agent.root_start_ticks = start_ticks_of(stranger);
	cr_expect_eq(act_on(&f, ACTION_SIGNAL, stranger, f.agent.root_start_ticks, SIGKILL), -ESRCH);
	cr_expect(lives(stranger));
	cr_expect(lives(other));
	fixture_close(&f);
}

Test(group_spare, the_end_of_the_group_spares_who_has_the_pid_of_its_root)
{
	struct fixture f;
	pid_t other, stranger = replace_root(&f, &other);

	f.agent.root_start_ticks = start_ticks_of(stranger);
	cr_expect_eq(act(&f, ACTION_KILL), 0);
	WAIT_UNTIL(&f, f.empties == 1);
	cr_expect_eq(waitpid(other, NULL, 0), other);
	cr_expect(lives(stranger));
	f.children[0] = stranger;
	f.n_children = 1;
	fixture_close(&f);
}

/* What is placed or moved is nobody else either: often this stranger has started in the same tick as the root. */
Test(group_spare, nobody_is_moved_for_the_pid_alone)
{
	char before[4096], after[4096];
	struct fixture f;
	pid_t other, stranger = replace_root(&f, &other);

	path_of(stranger, "", before, sizeof(before));
	cr_expect_eq(act_on(&f, ACTION_MOVE, stranger, f.agent.root_start_ticks, 0), -ESRCH);
	cr_expect_eq(act_on(&f, ACTION_PLACE, stranger, f.agent.root_start_ticks, 0), -ESRCH);
	f.agent.root_start_ticks = start_ticks_of(stranger);
	cr_expect_eq(act_on(&f, ACTION_MOVE, stranger, f.agent.root_start_ticks, 0), -ESRCH);
	cr_expect_eq(act_on(&f, ACTION_PLACE, stranger, f.agent.root_start_ticks, 0), -ESRCH);
	cr_expect_str_eq(path_of(stranger, "", after, sizeof(after)), before);
	cr_expect(lives(stranger));
	fixture_close(&f);
}

/* ---- debuggers ---- */

struct debugger {
	pid_t pid;
	int ready[2];
};

static void debug(void *userdata)
{
	const struct debugger *debugger = userdata;

	if (ptrace(PTRACE_SEIZE, debugger->pid, NULL, NULL) == 0 &&
	    ptrace(PTRACE_INTERRUPT, debugger->pid, NULL, NULL) == 0 && waitpid(debugger->pid, NULL, __WALL) > 0)
		(void)!write(debugger->ready[1], "x", 1);
	for (;;)
		pause();
}

Test(group_spare, a_debugger_is_seen_and_what_the_agent_traces_itself_is_not)
{
	struct debugger debugger;
	pid_t root, child, tracer;
	struct fixture f;
	char byte;

	fixture_open(&f);
	cr_assert_eq(pipe(debugger.ready), 0);
	root = fixture_spawn_idle(&f);
	child = fixture_spawn_idle(&f);
	cr_assert_eq(place(&f, root), 0);
	cr_assert_eq(act_on(&f, ACTION_MOVE, child, 0, 0), 0);
	cr_expect_eq(groups_debugger(f.groups, f.agent.handle), 0);
	debugger.pid = child;
	tracer = fixture_spawn(&f, debug, &debugger);
	cr_assert_eq(read(debugger.ready[0], &byte, 1), 1);
	cr_expect_eq(groups_debugger(f.groups, f.agent.handle), tracer);
	/* Its own. */
	cr_assert_eq(act_on(&f, ACTION_MOVE, tracer, 0, 0), 0);
	cr_expect_eq(groups_debugger(f.groups, f.agent.handle), 0);
	cr_expect_eq(groups_debugger(f.groups, 4711), 0);
	fixture_close(&f);
}
