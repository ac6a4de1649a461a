/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * usage: ticker
 *
 * Looks at the clock and at the available memory every 10 ms, itself locked in memory, and says by an empty line that
 * it has begun. When there is something on its input, or that ends, it writes as JSON: the longest time between two
 * looks and when it began, how long memory was short (from the first look that found less than 10 % available to the
 * last), and how little there was. Times in ms since it began.
 */

#define TICK_MS 10
#define SHORT_PCT 10

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static unsigned long long kib_of(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

int main(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	double begun, last, longest = 0, longest_at = 0, first_short = -1, last_short = -1;
	unsigned long long lowest = ~0ULL, total;
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	static char text[8192];

	if (fd < 0 || mlockall(MCL_CURRENT | MCL_FUTURE) < 0 || write(STDOUT_FILENO, "\n", 1) != 1)
		return 1;
	begun = last = now_ms();
	for (bool is_over = false; !is_over;) {
		unsigned long long available;
		ssize_t n;
		double at;

		is_over = poll(&input, 1, TICK_MS) != 0;
		n = pread(fd, text, sizeof(text) - 1, 0);
		at = now_ms();

		if (n <= 0)
			return 1;
		text[n] = '\0';
		total = kib_of(text, "MemTotal:");
		available = kib_of(text, "MemAvailable:");
		if (at - last > longest) {
			longest = at - last;
			longest_at = last - begun;
		}
		last = at;
		if (available < lowest)
			lowest = available;
		if (available < total / 100 * SHORT_PCT) {
			if (first_short < 0)
				first_short = at - begun;
			last_short = at - begun;
		}
	}
	printf("{\"longest_ms\": %.0f, \"longest_at_ms\": %.0f, \"short_at_ms\": %.0f, \"short_ms\": %.0f, "
	       "\"lowest_kib\": %llu}\n",
	       longest, longest_at, first_short, last_short - first_short, lowest);
	return 0;
}
