/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "executable.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "govctl.h"

/* When PATH isn't set, as execvp(3) has it. */
#define DEFAULT_PATH "/bin:/usr/bin"

/* 0, -ENOENT or -EACCES. */
static int check(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == EACCES ? -EACCES : -ENOENT;
	if (!S_ISREG(st.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return -EACCES;
	return 0;
}

/* `directory/name`, absolute; the directory "" is the working directory, as in PATH. */
static int join(const char *directory, size_t length, const char *name, char *path)
{
	struct text text = {.bytes = path, .size = PATH_MAX};

	if (length == 0 || directory[0] != '/') {
		if (!getcwd(path, PATH_MAX))
			return -errno;
		text.length = strlen(path);
		if (text.length > 1)
			text_add(&text, "/");
	}
	if (length > 0)
		text_addf(&text, "%.*s/", (int)length, directory);
	text_add(&text, name);
	return text.truncated ? -ENAMETOOLONG : 0;
}

static int try(const char *directory, size_t length, const char *name, char **ret_path)
{
	char path[PATH_MAX];
	int r = 0;

	if (name[0] == '/')
		r = text_copy(path, sizeof(path), name) ? 0 : -ENAMETOOLONG;
	else
		r = join(directory, length, name, path);
	if (r == 0)
		r = check(path);
	if (r < 0)
		return r;
	*ret_path = strdup(path);
	return *ret_path ? 0 : -ENOMEM;
}

int executable_find(const char *cmd, char **ret_path)
{
	const char *path = getenv("PATH");
	bool is_denied = false;

	if (!*cmd)
		return -ENOENT;
	if (strchr(cmd, '/'))
		return try("", 0, cmd, ret_path);
	for (const char *part = path ? path : DEFAULT_PATH;; part++) {
		size_t length = strcspn(part, ":");
		int r = try(part, length, cmd, ret_path);

		if (r == 0 || r == -ENOMEM)
			return r;
		/* A later directory may have one that can be executed. */
		is_denied = is_denied || r == -EACCES;
		part += length;
		if (!*part)
			return is_denied ? -EACCES : -ENOENT;
	}
}

/* In the directory of govctl itself, or in the sbin beside it: a build tree, or another prefix. */
static int find_beside(const char *relative, char **ret_path)
{
	char directory[PATH_MAX];
	int r = file_own_directory(directory, sizeof(directory));

	return r < 0 ? r : try(directory, strlen(directory), relative, ret_path);
}

static int find_govd(char **ret_path)
{
	static const char *const beside[] = {"govd", "../sbin/govd"};
	static const char *const usual[] = {"/usr/sbin", "/usr/local/sbin"};
	int r = -ENOENT;

	for (size_t i = 0; i < ELEMENTSOF(beside) && r < 0; i++)
		r = find_beside(beside[i], ret_path);
	if (r < 0)
		r = executable_find("govd", ret_path);
	for (size_t i = 0; i < ELEMENTSOF(usual) && r < 0; i++)
		r = try(usual[i], strlen(usual[i]), "govd", ret_path);
	return r;
}

int executable_become_govd(const char **argv)
{
	_cleanup_free_ char *path = NULL;

	if (find_govd(&path) < 0 || !path) {
		tell("can't find govd, which does this, beside govctl or in PATH: install it");
		return EXIT_FAILURE;
	}
	argv[0] = path;
	fflush(stdout);
	execv(path, (char *const *)argv);
	tell("can't execute %s: %m", path);
	return EXIT_FAILURE;
}
