/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "out/kills.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "core/emergency.h"

#define MAGIC "govd-kills1"

struct kills_page {
	char magic[16];
	char boot[64];			       /* /proc/sys/kernel/random/boot_id */
	uint64_t time_ns[EMERGENCY_KILLS_MAX]; /* 0: none */
};

/* Of this boot and this version, or as new. */
static int check_file(int fd, const struct kills_page *fresh)
{
	struct kills_page found = {0};
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	n = pread(fd, &found, sizeof(found), 0);
	if (st.st_size == sizeof(found) && n == sizeof(found) &&
	    memcmp(&found, fresh, offsetof(struct kills_page, time_ns)) == 0)
		return 0;
	/* Written and not only made longer: a mapping of what a full file system can't give ends in SIGBUS. */
	if (ftruncate(fd, 0) < 0)
		return -errno;
	n = pwrite(fd, fresh, sizeof(*fresh), 0);
	if (n < 0)
		return -errno;
	return n == sizeof(*fresh) ? 0 : -ENOSPC;
}

int kills_open(const char *runtime_dir, struct kills *ret_kills)
{
	struct kills_page fresh = {.magic = MAGIC};
	_cleanup_close_ int fd = -EBADF;
	char path[PATH_MAX];
	void *page;
	ssize_t n;
	int r;

	if ((size_t)snprintf(path, sizeof(path), "%s/" KILLS_FILE, runtime_dir) >= sizeof(path))
		return -ENAMETOOLONG;
	n = file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", fresh.boot, sizeof(fresh.boot));
	if (n < 0)
		return (int)n;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = check_file(fd, &fresh);
	if (r < 0)
		return r;
	page = mmap(NULL, sizeof(fresh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	ret_kills->page = page;
	return 0;
}

void kills_close(struct kills *kills)
{
	if (kills->page)
		munmap(kills->page, sizeof(*kills->page));
	kills->page = NULL;
}

void kills_add(struct kills *kills, uint64_t time_ns)
{
	if (kills->page)
		emergency_note_kill(kills->page->time_ns, time_ns);
}

size_t kills_read(const struct kills *kills, uint64_t *times_ns, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; kills->page && i < EMERGENCY_KILLS_MAX && n < max; i++)
		if (kills->page->time_ns[i])
			times_ns[n++] = kills->page->time_ns[i];
	return n;
}
