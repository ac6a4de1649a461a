/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/saved.h"

#include <limits.h>

#include "base/text.h"

#define SAVED_MAGIC "govd3"

enum saved_type { SAVED_TEXT, SAVED_NUMBER, SAVED_BOOL };

struct saved_field {
	const char *name;
	enum saved_type type;
	size_t offset, size; /* in struct saved */
	bool is_required;    /* not empty, or not 0 */
	uint64_t max;	     /* SAVED_NUMBER */
};

#define FIELD(name_, type_, member, required, max_)                                                                    \
	{                                                                                                              \
		name_, type_, offsetof(struct saved, member), sizeof(((struct saved *)NULL)->member), required, max_   \
	}

static const struct saved_field fields[] = {
	FIELD("id", SAVED_TEXT, agent.id, true, 0),
	FIELD("policy", SAVED_TEXT, policy, true, 0),
	FIELD("pid", SAVED_NUMBER, agent.root_pid, true, INT_MAX),
	FIELD("start", SAVED_NUMBER, agent.root_start_ticks, false, UINT64_MAX),
	FIELD("uid", SAVED_NUMBER, agent.uid, false, UINT32_MAX),
	FIELD("parent", SAVED_NUMBER, agent.parent_pid, false, INT_MAX),
	FIELD("since", SAVED_NUMBER, agent.since_ns, false, UINT64_MAX),
	FIELD("run", SAVED_NUMBER, agent.run_ns, false, UINT64_MAX),
	FIELD("thaw", SAVED_NUMBER, agent.thaw_ns, false, UINT64_MAX),
	FIELD("lease", SAVED_NUMBER, agent.lease_ns, false, UINT64_MAX),
	FIELD("until", SAVED_NUMBER, agent.lease_until_ns, false, UINT64_MAX),
	FIELD("restart", SAVED_NUMBER, restart_id, false, UINT64_MAX),
	FIELD("explicit", SAVED_BOOL, agent.is_explicit, false, 1),
	FIELD("root", SAVED_BOOL, agent.has_root, false, 1),
	FIELD("key", SAVED_TEXT, key, false, 0),
	FIELD("origin", SAVED_TEXT, origin, false, 0),
	FIELD("exe", SAVED_TEXT, exe, false, 0),
	FIELD("script", SAVED_TEXT, script, false, 0),
};

_Static_assert(3 * (AGENT_ID_SIZE + POLICY_NAME_MAX + POLICY_KEY_MAX + AGENT_CGROUP_MAX + 2 * AGENT_EXE_MAX) + 384 <=
		       SAVED_SIZE,
	       "everything escaped, the names and the numbers");

static bool is_plain(unsigned char c, const char *stop)
{
	return c > ' ' && c < 0x7f && c != '%' && !strchr(stop, c);
}

void saved_escape(struct text *to, const char *from, const char *stop)
{
	while (*from) {
		int plain = 0;

		while (from[plain] && is_plain((unsigned char)from[plain], stop))
			plain++;
		if (plain)
			text_addf(to, "%.*s", plain, from);
		else
			text_addf(to, "%%%02X", (unsigned char)*from);
		from += plain ? plain : 1;
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int saved_unescape(const char *from, size_t length, char *ret_to, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)from[i];

		if (c <= ' ' || c >= 0x7f)
			return -EINVAL;
		if (c == '%') {
			int high = i + 2 < length ? hex_digit(from[i + 1]) : -1;
			int low = i + 2 < length ? hex_digit(from[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -EINVAL;
			c = (unsigned char)(high << 4 | low);
			i += 2;
		}
		if (c == '\0')
			return -EINVAL;
		if (n + 1 >= size)
			return -ENAMETOOLONG;
		ret_to[n++] = (char)c;
	}
	ret_to[n] = '\0';
	return 0;
}

static uint64_t number_get(const struct saved_field *field, const struct saved *saved)
{
	const char *at = (const char *)saved + field->offset;
	uint32_t small;
	uint64_t big;
	bool flag;

	if (field->type == SAVED_BOOL) {
		memcpy(&flag, at, sizeof(flag));
		return flag;
	}
	if (field->size == sizeof(small)) {
		memcpy(&small, at, sizeof(small));
		return small;
	}
	memcpy(&big, at, sizeof(big));
	return big;
}

static void number_set(const struct saved_field *field, struct saved *saved, uint64_t number)
{
	char *at = (char *)saved + field->offset;
	uint32_t small = (uint32_t)number;
	bool flag = number;

	if (field->type == SAVED_BOOL)
		memcpy(at, &flag, sizeof(flag));
	else if (field->size == sizeof(small))
		memcpy(at, &small, sizeof(small));
	else
		memcpy(at, &number, sizeof(number));
}

size_t saved_format(const struct agent *agent, char buffer[static SAVED_SIZE])
{
	struct text text = {.bytes = buffer, .size = SAVED_SIZE};
	struct saved saved = {.agent = *agent};

	text_copy(saved.policy, sizeof(saved.policy), agent->policy ? agent->policy->name : "");
	text_copy(saved.key, sizeof(saved.key), agent->key);
	text_copy(saved.origin, sizeof(saved.origin), agent->origin);
	text_copy(saved.exe, sizeof(saved.exe), agent->exe);
	text_copy(saved.script, sizeof(saved.script), agent->script);
	saved.restart_id = agent->restart ? agent->restart->id : 0;
	text_add(&text, SAVED_MAGIC);
	for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
		const struct saved_field *field = &fields[i];

		text_addf(&text, " %s=", field->name);
		if (field->type == SAVED_TEXT)
			saved_escape(&text, (const char *)&saved + field->offset, "");
		else
			text_addf(&text, "%llu", (unsigned long long)number_get(field, &saved));
	}
	return text.length;
}

/* Digits only, no leading zero, at most max. */
static int number_parse(const char *from, size_t length, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (length == 0 || (length > 1 && from[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		if (from[i] < '0' || from[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(from[i] - '0'), &number))
			return -EINVAL;
	}
	if (number > max)
		return -EINVAL;
	*ret_number = number;
	return 0;
}

static int field_parse(const struct saved_field *field, const char *value, size_t length, struct saved *saved)
{
	uint64_t number;
	int r;

	if (field->type == SAVED_TEXT) {
		if (field->is_required && length == 0)
			return -EINVAL;
		return saved_unescape(value, length, (char *)saved + field->offset, field->size) < 0 ? -EINVAL : 0;
	}
	r = number_parse(value, length, field->max, &number);
	if (r < 0)
		return r;
	if (field->is_required && number == 0)
		return -EINVAL;
	number_set(field, saved, number);
	return 0;
}

/* Both are part of directory names, which are POLICY-ID: so `.` and `..` are no danger. */
static bool is_name(const char *name)
{
	return name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0';
}

int saved_parse(const char *text, size_t length, struct saved *ret_saved)
{
	_cleanup_free_ struct saved *saved = calloc(1, sizeof(*saved));
	const char *p = text, *end = text + length;
	int r;

	if (!saved)
		return -ENOMEM;
	if (length >= SAVED_SIZE || length < strlen(SAVED_MAGIC) || memcmp(p, SAVED_MAGIC, strlen(SAVED_MAGIC)) != 0)
		return -EINVAL;
	p += strlen(SAVED_MAGIC);
	for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
		size_t name_length = strlen(fields[i].name), value_length;
		const char *space;

		if ((size_t)(end - p) < name_length + 2 || p[0] != ' ' ||
		    memcmp(p + 1, fields[i].name, name_length) != 0 || p[name_length + 1] != '=')
			return -EINVAL;
		p += name_length + 2;
		space = memchr(p, ' ', (size_t)(end - p));
		value_length = (size_t)((space ? space : end) - p);
		r = field_parse(&fields[i], p, value_length, saved);
		if (r < 0)
			return r;
		p += value_length;
	}
	if (p != end || !is_name(saved->agent.id) || !is_name(saved->policy))
		return -EINVAL;
	*ret_saved = *saved;
	ret_saved->agent.key = ret_saved->key;
	ret_saved->agent.origin = ret_saved->origin;
	ret_saved->agent.exe = ret_saved->exe;
	ret_saved->agent.script = ret_saved->script;
	return 0;
}
