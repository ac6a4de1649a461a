/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/magic.h>
#include <sys/vfs.h>

#include "hold/hold.h"

/* Where everybody's executables are: a mark on the directory would cost every exec of the host a round trip. */
static const char *const busy_directories[] = {
	"/bin",		  "/sbin",	     "/usr/bin",   "/usr/sbin",
	"/usr/local/bin", "/usr/local/sbin", "/usr/games", "/usr/local/games",
	"/snap/bin",
};

/* The same with all that is below. */
static const char *const busy_trees[] = {"/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share",
					 "/lib",     "/lib32",	   "/lib64",	 "/dev"};

/* Where everybody's files are: for opens. */
static const char *const busy_open_directories[] = {"",		"/etc", "/root", "/home", "/tmp", "/var/tmp",
						    "/dev/shm", "/run", "/var",	 "/srv",  "/opt", "/mnt"};

/* magic.h has none for these. */
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42

/* The kernel opens the file for us before it tells us, and denies the process's open when that fails. */
static const uint32_t refused_filesystems[] = {
	FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC,  CIFS_MAGIC,	 SMB2_MAGIC,	   V9FS_MAGIC,
	CEPH_SUPER_MAGIC, AFS_SUPER_MAGIC, CODA_SUPER_MAGIC, AUTOFS_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC,
};

static bool busy_has(const char *const *directories, size_t n, const char *directory)
{
	for (size_t i = 0; i < n; i++)
		if (streq(directories[i], directory))
			return true;
	return false;
}

/* /home/NAME itself */
static bool busy_is_home(const char *directory)
{
	return strncmp(directory, "/home/", 6) == 0 && !strchr(directory + 6, '/');
}

bool busy_is(const char *directory, bool is_exec)
{
	if (busy_has(busy_directories, ELEMENTSOF(busy_directories), directory))
		return true;
	if (!is_exec &&
	    (busy_has(busy_open_directories, ELEMENTSOF(busy_open_directories), directory) || busy_is_home(directory)))
		return true;
	for (size_t i = 0; i < ELEMENTSOF(busy_trees); i++) {
		size_t length = strlen(busy_trees[i]);

		if (strncmp(directory, busy_trees[i], length) == 0 &&
		    (directory[length] == '/' || directory[length] == '\0'))
			return true;
	}
	return false;
}

int busy_check_filesystem(const char *directory)
{
	struct statfs fs;

	if (statfs(*directory ? directory : "/", &fs) < 0)
		return -errno;
	for (size_t i = 0; i < ELEMENTSOF(refused_filesystems); i++)
		if ((uint32_t)fs.f_type == refused_filesystems[i])
			return -EOPNOTSUPP;
	return 0;
}
