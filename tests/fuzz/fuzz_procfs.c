/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parsers of /proc's files, whose contents a process chooses in part. Fuzzers link no edges, so they are included.
 */
#include "sense/procfs_parse.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void parse_text(const char *text)
{
	char path[64];
	struct proc_stat stat;
	uid_t uid;

	if (proc_stat_parse(text, &stat) == 0 && !stat.state)
		abort();
	if (proc_cgroup_parse(text, path, sizeof(path)) == 0 && path[0] != '/')
		abort();
	if (proc_uid_parse(text, &uid) == 0 && !strstr(text, "Uid:"))
		abort();
}

static void normalize(const char *text)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "/%s", text) < 0)
		return;
	proc_path_normalize(path);
	if (path[0] != '/' || strstr(path, "//") || strstr(path, "/../") || strstr(path, "/./"))
		abort();
}

static void find_script(const uint8_t *bytes, size_t size)
{
	static const char *const bases[] = {"python3", "node", "bash", "perl", "sleep"};
	_cleanup_free_ struct proc_image *image = calloc(1, sizeof(*image));

	if (!image)
		return;
	for (size_t i = 0; i < ELEMENTSOF(bases); i++) {
		proc_image_set_args(image, (const char *)bytes, size);
		proc_image_find_script(image, bases[i], "/srv/agents");
		if (image->script[0] && image->script[0] != '/')
			abort();
		proc_image_join_args(image);
		if (strlen(image->args) != image->args_size)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, bytes, size);
	text[size] = '\0';
	parse_text(text);
	normalize(text);
	/* As the caller does: file_read() gives at most one byte more than is used. */
	find_script(bytes, MIN2(size, (size_t)PROC_ARGS_MAX + 1));
	return 0;
}
