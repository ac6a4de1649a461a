/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/check.h"

#include <limits.h>
#include <sys/sysinfo.h>

#include "base/text.h"

struct conf_host check_host(void)
{
	struct conf_host host = {0};
	struct sysinfo info;

	if (sysinfo(&info) == 0)
		host.memory_bytes = (uint64_t)info.totalram * info.mem_unit;
	return host;
}

void check_host_config_path(const struct manager_options *options, char *path, size_t size)
{
	const char *slash, *dir = options->policy_dirs[0];
	size_t length = strlen(dir);

	if (options->config) {
		text_copy(path, size, options->config);
		return;
	}
	while (length > 1 && dir[length - 1] == '/')
		length--;
	slash = memrchr(dir, '/', length);
	if (slash)
		snprintf(path, size, "%.*s/govd.yaml", (int)(slash - dir), dir);
	else
		snprintf(path, size, "govd.yaml");
}

static int check_all(const struct manager_options *options, const struct conf_host *host, struct conf_errors *errors)
{
	_cleanup_(policy_set_unrefp) struct policy_set *set = NULL;
	char host_file[PATH_MAX];
	const struct conf_source source = {
		.dirs = options->policy_dirs, .n_dirs = options->n_policy_dirs, .host_file = host_file, .host = host};

	check_host_config_path(options, host_file, sizeof(host_file));
	return conf_load_all(&source, &set, errors);
}

static int check_file(const char *file, const struct conf_host *host, struct conf_errors *errors)
{
	_cleanup_(policy_unrefp) struct policy *policy = NULL;

	if (streq(text_basename(file), "govd.yaml")) {
		struct host_config config = {0};
		int r = conf_host_load(file, &config, errors);

		host_config_done(&config);
		return r;
	}
	return conf_policy_load(file, host, &policy, errors);
}

int check_run(const struct manager_options *options, char *const *files, size_t n_files)
{
	struct conf_host host = check_host();
	struct conf_errors errors = {0};
	bool is_bad = false;

	if (!n_files)
		is_bad = check_all(options, &host, &errors) < 0;
	for (size_t i = 0; i < n_files; i++)
		is_bad |= check_file(files[i], &host, &errors) < 0;
	for (size_t i = 0; i < errors.n; i++)
		puts(errors.lines[i]);
	is_bad |= errors.n > 0;
	conf_errors_done(&errors);
	return is_bad ? 1 : 0;
}
