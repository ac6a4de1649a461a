/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CONF_VALUE_H
#define GOV_CONF_VALUE_H

#include "conf/schema.h"

/* Texts -> values. A key is a row of a table. */

struct conf_value_kind {
	/* 0, -EINVAL (see wrong) or -ERANGE (see range). */
	int (*parse)(const struct conf_value_kind *kind, const char *text, const struct conf_host *host,
		     void *ret_value);
	void (*format)(const struct conf_value_kind *kind, const void *value, char *buffer, size_t size);
	const char *wrong, *range; /* follows the value: what is wrong and what would be right */
	uint64_t min, max;	   /* of CONF_TIME, ns, CONF_COUNT, CONF_NUMBER, CONF_PERCENT */
	const char *none;	   /* of those: the word for no limit, or no such thing; NULL: there is none */
	uint64_t none_value;	   /* what stands for it */
	const char *const *words;  /* of CONF_WORD, up to NULL: the place is the number of the enum, too */
};

/* kind_common.c: what most kinds are made of: a time and a count are uint64_t, a number and a percentage uint32_t. */
#define CONF_TIME .parse = conf_time_parse, .format = conf_time_format
#define CONF_COUNT .parse = conf_count_parse, .format = conf_count_format
#define CONF_NUMBER .parse = conf_number_parse, .format = conf_number_format
#define CONF_PERCENT .parse = conf_percent_parse, .format = conf_percent_format
#define CONF_WORD .parse = conf_word_parse, .format = conf_word_format
#define CONF_PARSE(name)                                                                                               \
	int conf_##name##_parse(const struct conf_value_kind *kind, const char *text, const struct conf_host *host,    \
				void *ret_value);                                                                      \
	void conf_##name##_format(const struct conf_value_kind *kind, const void *value, char *buffer, size_t size)
CONF_PARSE(time);
CONF_PARSE(count);
CONF_PARSE(number);
CONF_PARSE(percent);
CONF_PARSE(word);
/* A decimal number, times 1000, of which the text's first length bytes are to consist. */
int conf_milli_parse(const struct conf_value_kind *kind, const char *text, size_t length, uint64_t *ret_milli);
void conf_milli_format(uint64_t milli, char *buffer, size_t size);

struct conf_value {
	const char *path;
	size_t text_offset;   /* of the char * in the struct of texts */
	size_t value_offset;  /* in the policy or host configuration */
	const char *fallback; /* the default, as the user would write it */
	const struct conf_value_kind *kind;
};

struct conf_list {
	const char *path;
	size_t text_offset;			/* of the struct conf_strings */
	size_t items_offset, n_offset;		/* of the char ** and the size_t */
	const char *(*check)(const char *item); /* what is wrong and what would be right, or NULL; may be NULL */
};

struct conf_values {
	const struct conf_value *items;
	size_t n;
};

struct conf_lists {
	const struct conf_list *items;
	size_t n;
};

extern const struct conf_values conf_policy_values, conf_host_values;
extern const struct conf_lists conf_policy_lists, conf_host_lists;

/* Fills in defaults, parses what is given, tells what is wrong. */
void conf_values_convert(struct conf_context *context, const struct conf_values *values, const void *texts, void *out);
/* Copies lists. On an error the lists are complete enough to be freed. */
void conf_lists_convert(struct conf_context *context, const struct conf_lists *lists, const void *texts, void *out);

/* kind.c, and those of one map of keys in a file of their own */
extern const struct conf_value_kind conf_kind_memory, conf_kind_swap, conf_kind_weight, conf_kind_cpu, conf_kind_tasks,
	conf_kind_signal, conf_kind_grace, conf_kind_priority, conf_kind_bool, conf_kind_mode, conf_kind_hold,
	conf_kind_keep, conf_kind_count, conf_kind_on_oom, conf_kind_on_pressure, conf_kind_runtime,
	conf_kind_placement;
/* kind_leak.c */
extern const struct conf_value_kind conf_kind_horizon, conf_kind_leak_action;
/* Tells what doesn't fit together. */
void conf_leak_check(struct conf_context *context, const struct conf_leak_text *texts, const struct policy *policy);
/* kind_connect.c */
extern const struct conf_value_kind conf_kind_rate, conf_kind_burst, conf_kind_per, conf_kind_delay, conf_kind_excess,
	conf_kind_udp, conf_kind_failures, conf_kind_factor, conf_kind_interval, conf_kind_stable, conf_kind_sockets,
	conf_kind_new_rate;
/* Tells what doesn't fit together. */
void conf_connect_check(struct conf_context *context, const struct conf_connect_text *texts,
			const struct policy_connect *connect);
/* `min`, of a time that a rate can be per. */
const char *conf_per_name(uint64_t per_ns);
/* kind_emergency.c */
extern const struct conf_value_kind conf_kind_share, conf_kind_pressure, conf_kind_for, conf_kind_kills;
/* kind_life.c */
extern const struct conf_value_kind conf_kind_uptime, conf_kind_restart_delay, conf_kind_restart_limit,
	conf_kind_window, conf_kind_on_limit, conf_kind_life, conf_kind_agents, conf_kind_on_duplicate;
/* kind_idle.c */
extern const struct conf_value_kind conf_kind_idle_cpu, conf_kind_idle_bytes, conf_kind_idle_count,
	conf_kind_hung_action;
/* Tells what doesn't fit together. */
void conf_hung_check(struct conf_context *context, const struct conf_hung_text *texts, const struct policy *policy);

/* pattern.c */
const char *conf_check_path_glob(const char *glob);
const char *conf_check_glob(const char *glob);
const char *conf_check_env_name(const char *name);
/* Regexes, environment, key, users: what isn't a plain copy. */
void conf_patterns_convert(struct conf_context *context, const struct conf_policy_text *texts, struct policy *policy);

#endif
