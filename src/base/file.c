/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "base/text.h"

/* Reads until end of file or a full buffer. */
static ssize_t read_fully(int fd, char *buffer, size_t size)
{
	size_t length = 0;

	while (length < size) {
		ssize_t n = read(fd, buffer + length, size - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	return (ssize_t)length;
}

ssize_t file_read(int dir_fd, const char *path, char *buffer, size_t size)
{
	_cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read_fully(fd, buffer, size - 1);
	if (n >= 0)
		buffer[n] = '\0';
	return n;
}

int file_read_all(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_length)
{
	_cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t size;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > 0 && (uintmax_t)st.st_size > max)
		return -EFBIG;
	/* Files of /proc say that they are empty: leave room for max. */
	size = st.st_size > 0 ? (size_t)st.st_size + 1 : max + 1;
	text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	n = read_fully(fd, text, size);
	if (n < 0)
		return (int)n;
	if ((size_t)n > max)
		return -EFBIG;
	text[n] = '\0';
	*ret_text = TAKE_PTR(text);
	if (ret_length)
		*ret_length = (size_t)n;
	return 0;
}

int file_write(int dir_fd, const char *path, const char *string)
{
	_cleanup_close_ int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
	size_t length = strlen(string);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = write(fd, string, length);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == length ? 0 : -EIO;
}

int file_writef(int dir_fd, const char *path, const char *format, ...)
{
	char buffer[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(buffer, sizeof(buffer), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(buffer))
		return -E2BIG;
	return file_write(dir_fd, path, buffer);
}

int file_read_u64(int dir_fd, const char *path, uint64_t *ret_value)
{
	_cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	char buffer[64], *end;
	uint64_t value;
	ssize_t n;

	if (fd < 0)
		return -errno;
	/* The kernel's files give a number whole at the first read (seq_file), and numbers are read often. */
	n = read(fd, buffer, sizeof(buffer) - 1);
	if (n < 0)
		return -errno;
	buffer[n] = '\0';
	buffer[strcspn(buffer, "\n")] = '\0';
	if (streq(buffer, "max")) {
		*ret_value = UINT64_MAX;
		return 0;
	}
	errno = 0;
	value = strtoull(buffer, &end, 10);
	if (errno || end == buffer || *end)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

int file_open_dir(int dir_fd, const char *path, DIR **ret_dir)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	*ret_dir = dir;
	return 0;
}

int file_mkdir_all(const char *path, mode_t mode)
{
	char copy[PATH_MAX];

	if (!text_copy(copy, sizeof(copy), path))
		return -ENAMETOOLONG;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

void file_strip_deleted(char *path)
{
	static const char deleted[] = " (deleted)";
	size_t length = strlen(path), tail = strlen(deleted);

	if (length > tail && streq(path + length - tail, deleted))
		path[length - tail] = '\0';
}

int file_own_directory(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	if (n < 0)
		return -errno;
	if ((size_t)n == size - 1)
		return -ENAMETOOLONG;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}
