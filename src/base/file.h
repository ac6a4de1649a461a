/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_BASE_FILE_H
#define GOV_BASE_FILE_H

#include <dirent.h>
#include <sys/types.h>

#include "base/macro.h"

/* Small files of /proc and cgroupfs, relative to a directory descriptor (AT_FDCWD for paths). All: 0 or more, or
 * -errno. */

/* Reads at most size-1 bytes and terminates them. Returns the number of bytes; more may be there when it is size-1. */
ssize_t file_read(int dir_fd, const char *path, char *buffer, size_t size) _must_check_;
/* Reads the whole file; -EFBIG beyond max bytes. *ret_text is terminated and the caller frees it. */
int file_read_all(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_length) _must_check_;
/* One write(2), as the kernel's files need. */
int file_write(int dir_fd, const char *path, const char *string) _must_check_;
int file_writef(int dir_fd, const char *path, const char *format, ...) _printf_(3, 4) _must_check_;
/* The first line as a number; `max` reads as UINT64_MAX. */
int file_read_u64(int dir_fd, const char *path, uint64_t *ret_value) _must_check_;
/* A stream over a directory, below another or, ".", itself; the caller ends it by closedir(). */
int file_open_dir(int dir_fd, const char *path, DIR **ret_dir) _must_check_;
/* mkdir -p; mode for what is made. */
int file_mkdir_all(const char *path, mode_t mode) _must_check_;
/* Cuts the " (deleted)" that the kernel puts behind the path of what is no more (d_path(), fs/d_path.c). */
void file_strip_deleted(char *path);
/* The directory of the executable that runs, without a slash at its end ("" is /). */
int file_own_directory(char *path, size_t size) _must_check_;

#endif
