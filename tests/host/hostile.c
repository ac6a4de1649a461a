/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * What Python can't do to govd:
 * hostile rewrite [ARG...]: takes the name and the arguments of another program, says so, and waits.
 * hostile twin PID: starts a stranger with this very pid, says its errno (0: done), waits for the end of its input, and
 * tells what became of the stranger: `alive`, or the number of the signal that ended it.
 */

_Noreturn static void rewrite(int argc, char **argv)
{
	static char lie[] = "/sbin/init";
	uintptr_t start = (uintptr_t)lie, end = start + sizeof(lie);

	prctl(PR_SET_NAME, "init");
	for (int i = 0; i < argc; i++)
		memset(argv[i], 'X', strlen(argv[i]));
	/* Needs CAP_SYS_RESOURCE; start and end may not pass each other. */
	(void)prctl(PR_SET_MM, PR_SET_MM_ARG_START, start, 0, 0);
	(void)prctl(PR_SET_MM, PR_SET_MM_ARG_END, end, 0, 0);
	(void)prctl(PR_SET_MM, PR_SET_MM_ARG_START, start, 0, 0);
	puts("rewritten");
	fflush(stdout);
	for (;;)
		pause();
}

static int twin(pid_t pid)
{
	struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&pid, .set_tid_size = 1};
	long child = syscall(SYS_clone3, &args, sizeof(args));
	int status, error = child < 0 ? errno : 0;
	char byte;

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	printf("%d\n", error);
	fflush(stdout);
	if (error)
		return 1;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	if (waitpid(pid, &status, WNOHANG) == pid) {
		printf("%d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
		return 0;
	}
	puts("alive");
	/* Its parent, and it isn't reaped: the pid is its own. */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "rewrite") == 0)
		rewrite(argc, argv);
	if (argc == 3 && strcmp(argv[1], "twin") == 0)
		return twin(atoi(argv[2]));
	return 2;
}
