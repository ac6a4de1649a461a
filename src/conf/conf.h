/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CONF_CONF_H
#define GOV_CONF_CONF_H

#include "core/policy.h"

/* YAML -> policies. */

#define CONF_FILE_MAX (1U << 20) /* bytes; a larger policy file is an error */

/* What relative values refer to. */
struct conf_host {
	uint64_t memory_bytes; /* of the machine: `25%` */
};

/* `file: key.path: what is wrong and what would be right`, one a line. */
struct conf_errors {
	char **lines;
	size_t n;
};

void conf_errors_done(struct conf_errors *errors);
int conf_errors_add(struct conf_errors *errors, const char *file, const char *path, const char *format, ...)
	_printf_(4, 5);

/* The bytes of a file, or what stands for one; they need not be terminated. */
struct conf_text {
	const char *name; /* of the policy */
	const char *file; /* for errors */
	const char *bytes;
	size_t length;
};

/* One policy; its name is the file's without .yaml. -EINVAL: see errors; other negative errno when it can't be read
 * (also told in errors). */
int conf_policy_load(const char *file, const struct conf_host *host, struct policy **ret_policy,
		     struct conf_errors *errors) _must_check_;
/* The same from memory. */
int conf_policy_parse(const struct conf_text *text, const struct conf_host *host, struct policy **ret_policy,
		      struct conf_errors *errors) _must_check_;
/* YAML with all defaults filled in; loads back to the same policy. The caller frees. */
int conf_policy_dump(const struct policy *policy, char **ret_text) _must_check_;

/* govd.yaml. A file that doesn't exist gives the defaults. */
int conf_host_load(const char *file, struct host_config *ret_config, struct conf_errors *errors) _must_check_;
/* The same from memory. */
int conf_host_parse(const struct conf_text *text, struct host_config *ret_config,
		    struct conf_errors *errors) _must_check_;
int conf_host_dump(const struct host_config *config, char **ret_text) _must_check_;
void host_config_done(struct host_config *config);

/* Where all policies come from. */
struct conf_source {
	const char *const *dirs; /* earlier ones override later ones by file name */
	size_t n_dirs;
	const char *host_file; /* as conf_host_load() has it */
	const struct conf_host *host;
	const struct policy_set *previous; /* that is in force now; NULL: none */
};

/*
 * All NAME.yaml of the directories; a link to /dev/null (or an empty file) masks. A bad file is told in errors and
 * never takes the others down: when previous has a policy of that name, it stays in force, as its host configuration
 * does when the host's file is bad. 0 also with errors; -ENOMEM.
 */
int conf_load_all(const struct conf_source *source, struct policy_set **ret_set,
		  struct conf_errors *errors) _must_check_;

/*
 * What a trace holds of policies: replay's calls of that name, with a struct conf_trace as userdata. The set that they
 * make is sorted as conf_load_all() has it. NULL-safe when freed.
 */
struct conf_trace {
	const char *file; /* for errors */
	const struct conf_host *host;
	struct conf_errors *errors;
	struct policy **policies;
	size_t n;
	bool has_host; /* else it is as without a govd.yaml */
	struct host_config config;
};
void conf_trace_done(struct conf_trace *trace);
int conf_trace_policy(const char *name, const char *yaml, void *userdata) _must_check_;
int conf_trace_policies(struct policy_set **ret_set, void *userdata) _must_check_;

/* What the kernel is to look for: base names and globs of executables, for gov_candidates. Each at most once. The
 * caller frees with conf_names_free. Holds `*` alone when some policy names neither executable nor script. */
int conf_candidates(const struct policy_set *set, char ***ret_names, size_t *ret_n) _must_check_;
void conf_names_free(char **names, size_t n);

#endif
