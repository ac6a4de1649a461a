/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Starts an executable many times: storm N PARALLEL BURNERS PROGRAM [ARG]...
 * At most PARALLEL run at once (0: all linger), while BURNERS processes keep the CPUs busy. Each start writes `1` or
 * `0` to its descriptor 3 twice (see firstfork.c). Prints `inside outside failed`; with PARALLEL 0 it prints that when
 * all have told, and then waits for its standard input to end before it ends them: the pids are on the second line.
 */

static pid_t *burners;
static int n_burners;

static void burn(int n)
{
	burners = calloc((size_t)n + 1, sizeof(*burners));
	for (n_burners = 0; n_burners < n; n_burners++) {
		burners[n_burners] = fork();
		if (burners[n_burners] == 0)
			for (volatile unsigned long x = 0;; x++)
				;
	}
}

static void end_burners(void)
{
	for (int i = 0; i < n_burners; i++) {
		kill(burners[i], SIGKILL);
		waitpid(burners[i], NULL, 0);
	}
}

static pid_t start(char **argv, int pipe_fd)
{
	pid_t pid = vfork();

	if (pid == 0) {
		dup2(pipe_fd, 3);
		execv(argv[0], argv);
		_exit(127);
	}
	return pid;
}

static void count(int fd, long want, long counts[2])
{
	char buffer[4096];

	while (counts[0] + counts[1] < want) {
		ssize_t n = read(fd, buffer, sizeof(buffer));

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			counts[buffer[i] == '1']++;
	}
}

int main(int argc, char **argv)
{
	long n, parallel, running = 0, failed = 0, counts[2] = {0, 0};
	int fds[2], status;
	pid_t *pids;

	if (argc < 5 || pipe2(fds, O_CLOEXEC) < 0)
		return 2;
	fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
	n = atol(argv[1]);
	parallel = atol(argv[2]);
	pids = calloc((size_t)n, sizeof(*pids));
	burn(atoi(argv[3]));
	for (long i = 0; i < n; i++) {
		pids[i] = start(argv + 4, fds[1]);
		failed += pids[i] < 0;
		for (running++; parallel && running >= parallel; running--)
			if (wait(&status) > 0)
				failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	}
	for (; parallel && running > 0; running--)
		if (wait(&status) > 0)
			failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	end_burners();
	close(fds[1]);
	count(fds[0], 2 * (n - failed), counts);
	printf("%ld %ld %ld\n", counts[1], counts[0], failed);
	if (!parallel) {
		for (long i = 0; i < n; i++)
			printf("%d ", (int)pids[i]);
		printf("\n");
		fflush(stdout);
		while (getchar() != EOF)
			;
		for (long i = 0; i < n; i++)
			kill(pids[i], SIGKILL);
		while (wait(NULL) > 0 || errno == EINTR)
			;
	}
	free(pids);
	return 0;
}
