/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "paced.h"

#include <bpf/bpf.h>
#include <err.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/macro.h"
#include "gov/connect.h"
#include "gov/maps.h"

#define PROGRAM_PREFIX "connect_"

static int map_fd(struct paced *paced, const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(paced->object, name);

	if (fd < 0)
		errx(1, "there is no map %s", name);
	return fd;
}

static void programs_load(struct paced *paced, const char *path)
{
	struct bpf_program *program;

	paced->object = bpf_object__open_file(path, NULL);
	if (!paced->object)
		err(1, "%s", path);
	bpf_object__for_each_program(program, paced->object)
	{
		bool is_wanted = strncmp(bpf_program__name(program), PROGRAM_PREFIX, strlen(PROGRAM_PREFIX)) == 0;

		bpf_program__set_autoload(program, is_wanted);
		if (is_wanted && paced->n_programs < PACED_PROGRAMS)
			paced->programs[paced->n_programs++] = program;
	}
	if (bpf_object__load(paced->object) < 0)
		err(1, "%s: load", path);
}

static int group_open(const char *path, int flags)
{
	int fd;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		err(1, "%s", path);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		err(1, "fstat");
	return st.st_ino;
}

static void place_open(struct paced *paced, enum paced_place place, int group_fd)
{
	paced->procs_fds[place] = openat(group_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (paced->procs_fds[place] < 0)
		err(1, "cgroup.procs");
}

static void agent_make(struct paced *paced, enum paced_place place, const struct gov_connect_agent *agent)
{
	_cleanup_close_ int fd = -EBADF;
	char name[16];
	uint64_t owner;

	snprintf(name, sizeof(name), "agent-%u", place);
	if (mkdirat(paced->slice_fd, name, 0755) < 0 && errno != EEXIST)
		err(1, "%s", name);
	fd = openat(paced->slice_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", name);
	owner = inode_of(fd);
	if (bpf_map_update_elem(map_fd(paced, "gov_connect_agents"), &owner, agent, BPF_ANY) < 0)
		err(1, "gov_connect_agents");
	place_open(paced, place, fd);
}

void paced_open(struct paced *paced, const char *object, const char *mount, const char *slice)
{
	const struct gov_connect_agent counted = {.slot = 1},
				       limited = {
					       .slot = 2,
					       .flags = GOV_CONNECT_REFUSE,
					       .rate = {.interval_ns = 1000,
							.tolerance_ns = 4000}, /* 1000000/s, bursts of 5 */
					       .max_delay_ns = 30000000000,
					       .breaker = {1000000000, 30000000000, 1000000, 5,
							   2000}, /* lives for 1 ms: it stays closed */
				       };
	struct gov_config config = {};
	struct timespec tick;
	uint32_t zero = 0;

	*paced = (struct paced){.slice_fd = group_open(slice, O_RDONLY | O_DIRECTORY)};
	programs_load(paced, object);
	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	config.tick_ns = (uint32_t)tick.tv_nsec;
	config.slice_id = inode_of(paced->slice_fd);
	for (const char *p = slice + strlen(mount); *p; p++)
		config.slice_level += *p == '/';
	if (bpf_map_update_elem(map_fd(paced, "gov_config"), &zero, &config, BPF_ANY) < 0)
		err(1, "gov_config");
	agent_make(paced, PLACE_COUNTED, &counted);
	agent_make(paced, PLACE_PACED, &limited);
	{
		_cleanup_close_ int parent_fd = openat(paced->slice_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		place_open(paced, PLACE_OUTSIDE, parent_fd);
	}
}

void paced_attach(struct paced *paced, bool on)
{
	while (!on && paced->n_links > 0)
		bpf_link__destroy(paced->links[--paced->n_links]);
	while (on && paced->n_links < paced->n_programs) {
		struct bpf_link *link = bpf_program__attach_cgroup(paced->programs[paced->n_links], paced->slice_fd);

		if (!link)
			err(1, "%s: attach", bpf_program__name(paced->programs[paced->n_links]));
		paced->links[paced->n_links++] = link;
	}
}

void paced_move(struct paced *paced, enum paced_place place)
{
	if (write(paced->procs_fds[place], "0", 1) != 1)
		err(1, "cgroup.procs");
}
