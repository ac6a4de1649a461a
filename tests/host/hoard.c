/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * usage: hoard MIB RATE LIMIT
 *
 * Takes MIB mebibytes, says so by an empty line, and uses them all the time. From a byte on its input it takes
 * RATE more a second, up to LIMIT in all. Ends with its input.
 */

#define STEP_MS 20

static unsigned char *memory;

static void touch(size_t from, size_t to, unsigned char value)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t at = from; at < to; at += page)
		memory[at] = value;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	size_t size, rate, limit, has;
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	double begun = 0;

	if (argc != 4)
		return 2;
	size = strtoul(argv[1], NULL, 10) << 20;
	rate = strtoul(argv[2], NULL, 10) << 20;
	limit = strtoul(argv[3], NULL, 10) << 20;
	memory = mmap(NULL, limit + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	touch(0, size, 1);
	has = size;
	if (write(STDOUT_FILENO, "\n", 1) != 1)
		return 1;
	for (unsigned char round = 0;; round++) {
		char byte;

		if (poll(&input, 1, STEP_MS) > 0) {
			if (read(STDIN_FILENO, &byte, 1) != 1)
				return 0;
			begun = now();
		}
		if (begun > 0) {
			size_t wanted = size + (size_t)((now() - begun) * (double)rate);

			if (wanted > limit)
				wanted = limit;
			if (wanted > has) {
				touch(has, wanted, round);
				has = wanted;
			}
		} else {
			touch(0, has, round);
		}
	}
}
