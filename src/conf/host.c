/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/value.h"

void host_config_done(struct host_config *config)
{
	pattern_list_done(&config->protect);
}

static int host_convert(struct conf_context *context, const struct conf_text *text, struct host_config *config)
{
	_cleanup_(conf_host_text_freep) struct conf_host_text *texts = NULL;
	int r = conf_host_text_load(context, text->bytes, text->length, &texts);

	if (r < 0)
		return r;
	conf_lists_convert(context, &conf_host_lists, texts, config);
	conf_values_convert(context, &conf_host_values, texts, config);
	if (context->error)
		return context->error;
	return conf_has_complained(context) ? -EINVAL : 0;
}

int conf_host_parse(const struct conf_text *text, struct host_config *ret_config, struct conf_errors *errors)
{
	struct conf_context context = {.file = text->file, .errors = errors, .n_before = errors->n};
	struct host_config config = {0};
	int r = host_convert(&context, text, &config);

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
	struct conf_text text = {.file = file, .bytes = ""};
	_cleanup_free_ char *bytes = NULL;

	if (file && (access(file, F_OK) == 0 || errno != ENOENT)) {
		int r = conf_file_read(&context, &bytes, &text.length);

		if (r < 0)
			return r;
		text.bytes = bytes;
	}
	return conf_host_parse(&text, ret_config, errors);
}
