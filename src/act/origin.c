/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/layout.h"
#include "act/saved.h"
#include "base/text.h"

static const char *origin_name(const struct hierarchy *hierarchy)
{
	return hierarchy->name[0] ? hierarchy->name : "v2";
}

static void origin_add(struct text *text, const struct hierarchy *hierarchy, const char *proc_cgroup)
{
	size_t before = text->length;
	char path[PATH_MAX];

	if (layout_path_of(hierarchy, proc_cgroup, path, sizeof(path)) < 0)
		return;
	text_addf(text, "%s%s=", before ? ";" : "", origin_name(hierarchy));
	saved_escape(text, path, ";=");
	if (text->truncated) {
		/* Half a path is another path: leave it out, release falls back. */
		text->length = before;
		text->bytes[before] = '\0';
		text->truncated = false;
	}
}

void origin_format(const struct layout *layout, const char *proc_cgroup, char ret_origin[static AGENT_CGROUP_MAX])
{
	struct text text = {.bytes = ret_origin, .size = AGENT_CGROUP_MAX};

	ret_origin[0] = '\0';
	origin_add(&text, &layout->v2, proc_cgroup);
	for (size_t i = 0; i < layout->n_v1; i++)
		origin_add(&text, &layout->v1[i], proc_cgroup);
}

int origin_path(const char *origin, const struct hierarchy *hierarchy, char *ret_path, size_t size)
{
	const char *name = origin_name(hierarchy);
	size_t length = strlen(name);

	for (const char *p = origin; *p; p += strcspn(p, ";"), p += *p == ';') {
		int r;

		if (strncmp(p, name, length) != 0 || p[length] != '=')
			continue;
		p += length + 1;
		r = saved_unescape(p, strcspn(p, ";"), ret_path, size);
		if (r < 0)
			return r;
		return ret_path[0] == '\0' || ret_path[0] == '/' ? 0 : -EINVAL;
	}
	return -ENOENT;
}
