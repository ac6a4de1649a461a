/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/value.h"

void host_config_done(struct host_config *config)
{
	pattern_list_done(&config->protect);
}

static int host_convert(struct conf_context *context, const char *text, size_t length, struct host_config *config)
{
	_cleanup_(conf_host_text_freep) struct conf_host_text *texts = NULL;
	int r = conf_host_text_load(context, text, length, &texts);

	if (r < 0)
		return r;
	conf_lists_convert(context, &conf_host_lists, texts, config);
	conf_values_convert(context, &conf_host_values, texts, config);
	if (context->error)
		return context->error;
	return conf_has_complained(context) ? -EINVAL : 0;
}

int conf_host_parse(const char *file, const char *text, size_t length, struct host_config *ret_config,
		    struct conf_errors *errors)
{
	struct conf_context context = {.file = file, .errors = errors, .n_before = errors->n};
	struct host_config config = {0};
	int r = host_convert(&context, text, length, &config);

	if (r < 0) {
		host_config_done(&config);
		return r;
	}
	*ret_config = config;
	return 0;
}

int conf_host_load(const char *file, struct host_config *ret_config, struct conf_errors *errors)
{
	struct conf_context context = {.file = file, .errors = errors, .n_before = errors->n};
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	int r = 0;

	if (file && (access(file, F_OK) == 0 || errno != ENOENT))
		r = conf_file_read(&context, &text, &length);
	return r < 0 ? r : conf_host_parse(file, text ? text : "", length, ret_config, errors);
}
