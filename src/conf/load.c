/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/text.h"
#include "conf/keys.h"
#include "conf/names.h"

/* All policies of all directories. */

struct entry {
	char *name; /* of the policy, or of its file as far as it is one */
	char *path; /* NULL: masked, or to be kept as it was */
	bool is_kept;
};

struct loader {
	const struct conf_source *source;
	struct conf_errors *errors;
	struct entry entries[POLICY_MAX];
	size_t n;
	bool is_full;
};

static void loader_free(struct loader *loader)
{
	for (size_t i = 0; i < loader->n; i++) {
		free(loader->entries[i].name);
		free(loader->entries[i].path);
	}
	free(loader);
}
DEFINE_CLEANUP(struct loader *, loader_free)

static bool loader_has(const struct loader *loader, const char *name)
{
	for (size_t i = 0; i < loader->n; i++)
		if (streq(loader->entries[i].name, name))
			return true;
	return false;
}

static int loader_add(struct loader *loader, const char *dir, const char *name, const char *path)
{
	struct entry *entry = &loader->entries[loader->n];

	if (loader->n == POLICY_MAX) {
		if (!loader->is_full)
			conf_errors_add(loader->errors, dir, NULL, "there are more than %d policies; join some",
					POLICY_MAX);
		loader->is_full = true;
		return 0;
	}
	*entry = (struct entry){.name = strdup(name), .path = path ? strdup(path) : NULL};
	if (!entry->name || (path && !entry->path)) {
		free(entry->name);
		free(entry->path);
		return -ENOMEM;
	}
	loader->n++;
	return 0;
}

/* systemd.unit(5): an empty file, or a link to /dev/null. */
static bool is_mask(int dir_fd, const char *file)
{
	struct stat st;

	if (fstatat(dir_fd, file, &st, 0) < 0)
		return false;
	return (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) || (S_ISREG(st.st_mode) && st.st_size == 0);
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && streq(name + n - m, suffix);
}

static int loader_add_file(struct loader *loader, const char *dir, int dir_fd, const char *file)
{
	_cleanup_free_ char *path = NULL, *name = NULL;

	if (*file == '.')
		return 0;
	if (asprintf(&path, "%s/%s", dir, file) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	if (has_suffix(file, ".yml"))
		return conf_errors_add(loader->errors, path, NULL, "is not read; name it NAME.yaml");
	if (!has_suffix(file, ".yaml"))
		return 0;
	name = strndup(file, strlen(file) - strlen(".yaml"));
	if (!name)
		return -ENOMEM;
	if (loader_has(loader, name))
		return 0;
	return loader_add(loader, dir, name, is_mask(dir_fd, file) ? NULL : path);
}

/* A directory that can't be read now takes none of its policies away. */
static int loader_keep(struct loader *loader, const char *dir)
{
	const struct policy_set *previous = loader->source->previous;
	size_t n = strlen(dir);
	int r = 0;

	for (size_t i = 0; previous && i < previous->n && r == 0; i++) {
		const struct policy *policy = previous->policies[i];

		if (strncmp(policy->file, dir, n) != 0 || policy->file[n] != '/' || strchr(policy->file + n + 1, '/') ||
		    loader_has(loader, policy->name) || loader->n == POLICY_MAX)
			continue;
		r = loader_add(loader, dir, policy->name, NULL);
		if (r == 0)
			loader->entries[loader->n - 1].is_kept = true;
	}
	return r;
}

static void closedir_p(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int loader_scan(struct loader *loader, const char *path)
{
	_cleanup_(closedir_p) DIR *dir = opendir(path);
	const struct dirent *entry;
	int r = 0;

	if (!dir && errno == ENOENT)
		return 0;
	while (dir && r == 0) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			break;
		r = loader_add_file(loader, path, dirfd(dir), entry->d_name);
	}
	if (r < 0 || (dir && !errno))
		return r;
	r = conf_errors_add(loader->errors, path, NULL, "can't be read: %s; its policies stay as they were",
			    strerror(errno));
	return r < 0 ? r : loader_keep(loader, path);
}

static int entry_compare(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* One policy, or the one that was in force under its name. */
static int loader_load(const struct loader *loader, const struct entry *entry, struct policy_set *set)
{
	struct policy *policy = NULL;
	int r = 0;

	if (entry->path)
		r = conf_policy_load(entry->path, loader->source->host, &policy, loader->errors);
	if (r == -ENOMEM)
		return r;
	if ((r < 0 || entry->is_kept) && loader->source->previous)
		policy = policy_ref(policy_set_find(loader->source->previous, entry->name));
	if (policy)
		set->policies[set->n++] = policy;
	return 0;
}

static int set_env_names(struct policy_set *set)
{
	_cleanup_(names_done) struct names names = {0};
	/* Without it the scripts of PM2's agents aren't known. */
	int r = names_add(&names, "pm_exec_path", strlen("pm_exec_path"));

	for (size_t i = 0; i < set->n; i++) {
		const struct policy *policy = set->policies[i];

		for (size_t j = 0; j < policy->match.n_env && r == 0; j++)
			r = names_add(&names, policy->match.env[j].name, strlen(policy->match.env[j].name));
		if (policy->key_env && r == 0)
			r = names_add(&names, policy->key_env, strlen(policy->key_env));
	}
	if (r < 0)
		return r;
	set->n_env_names = names.n;
	set->env_names = TAKE_PTR(names.items);
	names.n = 0;
	return 0;
}

static int host_copy(const struct host_config *from, struct host_config *to)
{
	*to = *from;
	to->protect = (struct pattern_list){.globs = calloc(MAX2(from->protect.n, (size_t)1), sizeof(char *))};
	if (!to->protect.globs)
		return -ENOMEM;
	for (; to->protect.n < from->protect.n; to->protect.n++) {
		to->protect.globs[to->protect.n] = strdup(from->protect.globs[to->protect.n]);
		if (!to->protect.globs[to->protect.n])
			return -ENOMEM;
	}
	return 0;
}

static int set_host(struct policy_set *set, const struct loader *loader)
{
	int r = conf_host_load(loader->source->host_file, &set->host, loader->errors);

	if (r == 0 || r == -ENOMEM)
		return r;
	if (loader->source->previous)
		return host_copy(&loader->source->previous->host, &set->host);
	return conf_host_load(NULL, &set->host, loader->errors);
}

int conf_load_all(const struct conf_source *source, struct policy_set **ret_set, struct conf_errors *errors)
{
	_cleanup_(policy_set_unrefp) struct policy_set *set = calloc(1, sizeof(*set));
	_cleanup_(loader_freep) struct loader *loader = calloc(1, sizeof(*loader));
	int r = 0;

	if (!set || !loader)
		return -ENOMEM;
	set->references = 1;
	loader->source = source;
	loader->errors = errors;
	for (size_t i = 0; i < source->n_dirs && r == 0; i++)
		r = loader_scan(loader, source->dirs[i]);
	if (r < 0)
		return r;
	qsort(loader->entries, loader->n, sizeof(loader->entries[0]), entry_compare);
	set->policies = calloc(MAX2(loader->n, (size_t)1), sizeof(struct policy *));
	if (!set->policies)
		return -ENOMEM;
	for (size_t i = 0; i < loader->n && r == 0; i++)
		r = loader_load(loader, &loader->entries[i], set);
	if (r == 0)
		r = set_host(set, loader);
	if (r == 0)
		r = set_env_names(set);
	if (r < 0)
		return r;
	*ret_set = TAKE_PTR(set);
	return 0;
}
