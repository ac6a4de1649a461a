/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/file.h"
#include "hold/hold.h"

#define FILES_WANTED 4096

size_t isolate_files_max(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : (size_t)limit.rlim_cur;
}

static int isolate_descriptors(void)
{
	_cleanup_close_ int null_fd = -EBADF;
	struct rlimit limit = {FILES_WANTED, FILES_WANTED};

	if (close_range(GOV_HOLD_FD + 1, ~0U, 0) < 0)
		return -errno;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < GOV_HOLD_FD; fd++)
		if (null_fd < 0 || dup2(null_fd, fd) < 0)
			return -errno;
	/* The kernel denies an open that it has no descriptor for; without privilege the soft limit only. */
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	return chdir("/") < 0 ? -errno : 0;
}

/* Best effort: each only makes an early turn more likely. */
static void isolate_priority(void)
{
	(void)setsid(); /* no Ctrl-Z */
	(void)setpriority(PRIO_PROCESS, 0, -20);
	(void)!file_write(AT_FDCWD, "/proc/self/autogroup", "-20");
	(void)!file_write(AT_FDCWD, "/proc/self/oom_score_adj", "-1000");
	(void)mlockall(MCL_CURRENT | MCL_FUTURE);
}

int isolate(pid_t govd_pid)
{
	sigset_t all;
	int r;

	/* SIGTERM too: what ends us is the end of the socket, after govd. */
	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return -errno;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NAME, "govd-hold") < 0)
		return -errno;
	/* It may have died before the prctl. */
	if (getppid() != govd_pid)
		return -ESRCH;
	r = isolate_descriptors();
	if (r < 0)
		return r;
	isolate_priority();
	return 0;
}
