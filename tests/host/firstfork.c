/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * An agent that forks before it does anything else: firstfork SLICE [LINGER]. Parent and child each write a line to
 * descriptor 3: `1` when their group is below SLICE, else `0`. With LINGER they then wait to be killed.
 */

static void tell(const char *slice)
{
	char buffer[4096];
	int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer) - 1);
	const char *line;

	buffer[n < 0 ? 0 : n] = '\0';
	line = strstr(buffer, "0::");
	n = write(3, line && strstr(line, slice) ? "1" : "0", 1);
	if (fd >= 0)
		close(fd);
	(void)n;
}

int main(int argc, char **argv)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (argc < 2)
		return 2;
	if (pid == 0 && argc > 2)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	tell(argv[1]);
	if (argc > 2)
		for (;;)
			pause();
	return pid < 0;
}
