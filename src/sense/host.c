/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/host.h"

#include <fcntl.h>
#include <inttypes.h>

#define MEMINFO_BYTES 8192 /* about 60 lines of 28 */
#define PRESSURE_BYTES 512
#define PRESSURE "/proc/pressure/memory"
/* kernel/sched/psi.c: WINDOW_MIN_US, WINDOW_MAX_US */
#define WINDOW_MIN_NS (500 * NSEC_PER_MSEC)
#define WINDOW_MAX_NS (10 * NSEC_PER_SEC)
/* psi_trigger_create(): windows are multiples of it for those without CAP_SYS_RESOURCE */
#define WINDOW_STEP_NS (2 * NSEC_PER_SEC)

int host_sense_open(struct host_sense *host)
{
	struct host_view view;
	int r;

	host->pressure_fd = -EBADF;
	host->meminfo_fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	if (host->meminfo_fd < 0)
		return -errno;
	/* Fails, too, where it is switched off (psi=0). */
	host->pressure_fd = open(PRESSURE, O_RDONLY | O_CLOEXEC);
	r = host_sense_read(host, &view);
	if (r < 0)
		host_sense_close(host);
	return r;
}

void host_sense_close(struct host_sense *host)
{
	close_p(&host->meminfo_fd);
	close_p(&host->pressure_fd);
}

static int read_again(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

int host_sense_read(const struct host_sense *host, struct host_view *ret_view)
{
	struct host_view view = {.full_ns = UINT64_MAX};
	char text[MEMINFO_BYTES];
	int r;

	r = read_again(host->meminfo_fd, text, sizeof(text));
	if (r == 0)
		r = host_meminfo_parse(text, &view);
	if (r < 0)
		return r;
	if (host->pressure_fd >= 0 && read_again(host->pressure_fd, text, PRESSURE_BYTES) == 0 &&
	    host_pressure_parse(text, &view.full_ns) < 0)
		view.full_ns = UINT64_MAX;
	*ret_view = view;
	return 0;
}

static int ask_for_trigger(int fd, uint64_t stalled_ns, uint64_t window_ns)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "full %" PRIu64 " %" PRIu64, stalled_ns / NSEC_PER_USEC,
			 window_ns / NSEC_PER_USEC);

	/* With its terminator, as psi.rst has it. */
	return write(fd, text, (size_t)n + 1) < 0 ? -errno : 0;
}

int host_sense_trigger(uint32_t full_pct, uint64_t window_ns, int *ret_fd)
{
	uint64_t window = MIN2(MAX2(window_ns, WINDOW_MIN_NS), WINDOW_MAX_NS), stepped;
	_cleanup_close_ int fd = open(PRESSURE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = ask_for_trigger(fd, window / 100 * full_pct, window);
	if (r == -EINVAL) {
		/* A shorter one tells sooner; in a longer one the same time stalled is waited for. */
		stepped = MAX2(window / WINDOW_STEP_NS, UINT64_C(1)) * WINDOW_STEP_NS;
		r = ask_for_trigger(fd, MIN2(window, stepped) / 100 * full_pct, stepped);
		if (r == 0)
			r = 1;
	}
	if (r >= 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}
