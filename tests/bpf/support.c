/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"

void bench_open(struct bench *bench, size_t ring_bytes)
{
	bench_open_with(bench, &(const struct bpf_sense_options){.ring_bytes = ring_bytes});
}

void bench_open_with(struct bench *bench, const struct bpf_sense_options *options)
{
	char error[256] = "";

	*bench = (struct bench){};
	cr_assert_eq(geteuid(), 0, "these tests need root");
	snprintf(bench->dir, sizeof(bench->dir), "/tmp/govtest-bpf-XXXXXX");
	cr_assert_not_null(mkdtemp(bench->dir));
	/* Short enough that 11 characters of a comm are left. */
	snprintf(bench->tag, sizeof(bench->tag), "%s", bench->dir + strlen(bench->dir) - 4);
	bench_copy(bench, "/bin/sh", "sh", bench->shell);
	cr_assert_eq(bpf_sense_new(options, &bench->sense, error, sizeof(error)), 0, "%s", error);
}

void bench_close(struct bench *bench)
{
	bpf_sense_free(bench->sense);
	for (size_t i = 0; i < bench->n; i++)
		free(bench->records[i]);
	free(bench->records);
	cr_assert_eq(run((const char *[]){"/bin/rm", "-rf", bench->dir, NULL}), 0);
}

void bench_copy(struct bench *bench, const char *from, const char *name, char *path)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int out = -EBADF;
	struct stat st;

	snprintf(path, 96, "%s/%s%s", bench->dir, bench->tag, name);
	out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	cr_assert(in >= 0 && out >= 0 && fstat(in, &st) == 0);
	cr_assert_eq(sendfile(out, in, NULL, (size_t)st.st_size), st.st_size);
}

void bench_script(struct bench *bench, const char *name, const char *text, char *path)
{
	_cleanup_close_ int out = -EBADF;

	snprintf(path, 96, "%s/%s%s", bench->dir, bench->tag, name);
	out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	cr_assert(out >= 0);
	cr_assert_eq(write(out, text, strlen(text)), (ssize_t)strlen(text));
}

void bench_candidates(struct bench *bench, const char *name, ...)
{
	static char names[16][64];
	const char *list[16];
	size_t n = 0;
	va_list rest;

	va_start(rest, name);
	for (; name; name = va_arg(rest, const char *)) {
		snprintf(names[n], sizeof(names[n]), "%s%s", bench->tag, name);
		list[n] = names[n];
		n++;
	}
	va_end(rest);
	cr_assert_eq(bpf_sense_set_candidates(bench->sense, list, n), 0);
}

static void keep(const struct gov_record_head *record, void *userdata)
{
	struct bench *bench = userdata;

	if (bench->n == bench->size) {
		bench->size = bench->size ? 2 * bench->size : 64;
		bench->records = realloc(bench->records, bench->size * sizeof(*bench->records));
		cr_assert_not_null(bench->records);
	}
	bench->records[bench->n] = calloc(1, sizeof(**bench->records));
	cr_assert_not_null(bench->records[bench->n]);
	memcpy(bench->records[bench->n++], record, record->size);
}

void bench_read(struct bench *bench)
{
	cr_assert_geq(bpf_sense_read(bench->sense, 0, keep, bench), 0);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const struct gov_record_head *bench_wait(struct bench *bench, record_test test, const void *userdata, const char *what)
{
	int64_t deadline = now_ms() + WAIT_MS;
	size_t seen = 0;

	for (;;) {
		struct pollfd fd = {.fd = bpf_sense_ring_fd(bench->sense), .events = POLLIN};

		bench_read(bench);
		for (; seen < bench->n; seen++)
			if (test(&bench->records[seen]->head, userdata))
				return &bench->records[seen]->head;
		cr_assert(now_ms() < deadline, "no record: %s", what);
		poll(&fd, 1, 100);
	}
}

size_t bench_count(const struct bench *bench, record_test test, const void *userdata)
{
	size_t n = 0;

	for (size_t i = 0; i < bench->n; i++)
		n += test(&bench->records[i]->head, userdata);
	return n;
}

static bool is_of(const struct gov_record_head *record, int kind, pid_t pid)
{
	return record->kind == kind && record->pid == (uint32_t)pid;
}

bool is_exec_of(const struct gov_record_head *record, const void *pid)
{
	return is_of(record, GOV_RECORD_EXEC, *(const pid_t *)pid);
}

bool is_fork_of(const struct gov_record_head *record, const void *pid)
{
	return is_of(record, GOV_RECORD_FORK, *(const pid_t *)pid);
}

bool is_fork_by(const struct gov_record_head *record, const void *ppid)
{
	return record->kind == GOV_RECORD_FORK && record->ppid == *(const uint32_t *)ppid;
}

bool is_exit_of(const struct gov_record_head *record, const void *pid)
{
	return is_of(record, GOV_RECORD_EXIT, *(const pid_t *)pid);
}

pid_t start(const char *const argv[])
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		setpgid(0, 0);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	return pid;
}

int wait_for(pid_t pid)
{
	int status = -1;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

int run(const char *const argv[])
{
	return wait_for(start(argv));
}

void puppet_open(struct puppet *puppet, const char *shell)
{
	int in[2], out[2];

	cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	puppet->pid = fork();
	cr_assert_geq(puppet->pid, 0);
	if (puppet->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl(shell, shell, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	puppet->to = fdopen(in[1], "w");
	puppet->from = fdopen(out[0], "r");
	puppet->pidfd = (int)syscall(SYS_pidfd_open, puppet->pid, 0);
	cr_assert(puppet->to && puppet->from && puppet->pidfd >= 0);
	puppet_do(puppet, ":");
}

void puppet_close(struct puppet *puppet)
{
	fclose(puppet->to);
	fclose(puppet->from);
	close(puppet->pidfd);
	wait_for(puppet->pid);
}

long puppet_do(struct puppet *puppet, const char *line)
{
	char answer[64];
	long number = 0;

	fprintf(puppet->to, "%s\necho done\n", line);
	fflush(puppet->to);
	while (fgets(answer, sizeof(answer), puppet->from)) {
		if (streq(answer, "done\n"))
			return number;
		number = strtol(answer, NULL, 10);
	}
	cr_assert_fail("the shell has ended at: %s", line);
	return 0;
}

/* ---- a slice ---- */

#define V2_ROOT "/sys/fs/cgroup/unified"

void slice_make(struct slice *slice)
{
	struct stat st;
	const char *root = access(V2_ROOT "/cgroup.procs", F_OK) == 0 ? V2_ROOT : "/sys/fs/cgroup";

	snprintf(slice->path, sizeof(slice->path), "%s/govtest-%d.slice", root, getpid());
	snprintf(slice->agent, sizeof(slice->agent), "%s/agent", slice->path);
	cr_assert_eq(mkdir(slice->path, 0755), 0, "%s", slice->path);
	cr_assert_eq(mkdir(slice->agent, 0755), 0);
	cr_assert_eq(stat(slice->path, &st), 0);
	slice->config = (struct gov_config){.slice_id = st.st_ino, .slice_level = 1};
}

void slice_remove(struct slice *slice)
{
	cr_expect_eq(rmdir(slice->agent), 0);
	cr_expect_eq(rmdir(slice->path), 0);
}

void slice_move(pid_t pid, const char *group)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	cr_assert_geq(file_writef(AT_FDCWD, path, "%d", pid), 0);
}
