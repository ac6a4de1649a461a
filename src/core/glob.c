/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/glob.h"

/*
 * A simulation of the glob's automaton: one state a token, all states that are possible at a byte of the text at once.
 * No backtracking, so that neither a policy nor a process can make it slow.
 */

#define GLOB_MAX 1024 /* bytes */
#define WORD_BITS 64
#define WORDS (GLOB_MAX / WORD_BITS + 1) /* one state more than tokens: the end */

enum token_kind {
	TOKEN_BYTE,   /* itself, also escaped */
	TOKEN_ANY,    /* ? */
	TOKEN_SET,    /* [...] */
	TOKEN_STAR,   /* *, without slashes in paths */
	TOKEN_DEEP,   /* ** */
	TOKEN_DIRS,   /* the gate of a ** between slashes: nothing, or INSIDE */
	TOKEN_INSIDE, /* directories, up to a slash; follows DIRS */
};

struct token {
	uint8_t kind;
	uint8_t byte;		/* BYTE */
	uint16_t start, length; /* SET: its inside, without brackets */
};

struct machine {
	const char *glob;
	bool is_path;
	struct token tokens[GLOB_MAX];
	size_t n;
	uint64_t now[WORDS], next[WORDS];
	/* The last ** that was reached. It takes all that comes, so that no state before it can do more than it does.
	 */
	size_t floor;
};

/* Length of the set at glob (`[` included), or 0 when it isn't closed. A `]` in the first place is a member. */
static size_t set_length(const char *glob)
{
	const char *s = glob + 1;

	if (*s == '!' || *s == '^')
		s++;
	for (bool first = true; *s; first = false) {
		if (*s == ']' && !first)
			return (size_t)(s - glob) + 1;
		if (*s == '\\' && !*++s)
			return 0;
		s++;
	}
	return 0;
}

/* The next token; returns the bytes it takes, 0 when the glob is broken there. */
static size_t token_parse(const char *glob, size_t at, bool is_path, struct token *token)
{
	const char *s = glob + at;
	size_t n;

	*token = (struct token){.kind = TOKEN_BYTE, .byte = (uint8_t)*s};
	switch (*s) {
	case '?':
		token->kind = TOKEN_ANY;
		return 1;
	case '*':
		n = strspn(s, "*");
		token->kind = n >= 2 || !is_path ? TOKEN_DEEP : TOKEN_STAR;
		if (n < 2 || !is_path || s[n] != '/' || (at > 0 && s[-1] != '/'))
			return n;
		/* `/ **` + `/`: any number of directories, also none. */
		token->kind = TOKEN_DIRS;
		return n + 1;
	case '[':
		n = set_length(s);
		token->kind = TOKEN_SET;
		token->start = (uint16_t)(at + 1);
		token->length = (uint16_t)(n ? n - 2 : 0);
		return n;
	case '\\':
		token->byte = (uint8_t)s[1];
		return s[1] ? 2 : 0;
	default:
		return 1;
	}
}

static bool set_has(const char *set, size_t length, uint8_t byte)
{
	bool is_negated = length && (*set == '!' || *set == '^'), found = false;
	size_t i = is_negated;

	while (i < length && !found) {
		uint8_t low, high;

		i += set[i] == '\\';
		low = high = (uint8_t)set[i++];
		if (i + 1 < length && set[i] == '-') {
			i++;
			i += set[i] == '\\' && i + 1 < length;
			high = (uint8_t)set[i++];
		}
		found = byte >= low && byte <= high;
	}
	return found != is_negated;
}

static bool token_takes(const struct machine *m, const struct token *token, uint8_t byte)
{
	bool is_slash = m->is_path && byte == '/';

	switch ((enum token_kind)token->kind) {
	case TOKEN_BYTE:
		return token->byte == byte;
	case TOKEN_SET:
		return !is_slash && set_has(m->glob + token->start, token->length, byte);
	case TOKEN_ANY:
	case TOKEN_STAR:
		return !is_slash;
	case TOKEN_DEEP:
	case TOKEN_INSIDE:
		return true;
	case TOKEN_DIRS:
		break;
	}
	return false;
}

/* Adds a state and those that follow from it without a byte. */
static void state_add(struct machine *m, uint64_t *states, size_t state)
{
	for (;;) {
		uint64_t bit = UINT64_C(1) << (state % WORD_BITS);
		enum token_kind kind = state < m->n ? (enum token_kind)m->tokens[state].kind : TOKEN_BYTE;

		if (states[state / WORD_BITS] & bit)
			return;
		states[state / WORD_BITS] |= bit;
		if (kind == TOKEN_DEEP || kind == TOKEN_INSIDE)
			m->floor = MAX2(m->floor, state);
		if (kind == TOKEN_DIRS)
			state_add(m, states, state + 2);
		else if (kind != TOKEN_STAR && kind != TOKEN_DEEP)
			return;
		state++;
	}
}

/* The states after a byte that the token of this state takes. */
static void state_advance(struct machine *m, size_t state, uint8_t byte)
{
	switch ((enum token_kind)m->tokens[state].kind) {
	case TOKEN_INSIDE:
		if (byte == '/')
			state_add(m, m->next, state + 1);
		state_add(m, m->next, state);
		break;
	case TOKEN_STAR:
	case TOKEN_DEEP:
		state_add(m, m->next, state);
		break;
	default:
		state_add(m, m->next, state + 1);
	}
}

/* Whether any state is left. */
static bool machine_step(struct machine *m, uint8_t byte)
{
	size_t words = m->n / WORD_BITS + 1;
	bool any = false;

	memset(m->next, 0, words * sizeof(m->next[0]));
	for (size_t w = m->floor / WORD_BITS; w < words; w++)
		for (uint64_t bits = m->now[w]; bits; bits &= bits - 1) {
			size_t state = w * WORD_BITS + (size_t)__builtin_ctzll(bits);

			if (state < m->floor || state == m->n || !token_takes(m, &m->tokens[state], byte))
				continue;
			state_advance(m, state, byte);
			any = true;
		}
	memcpy(m->now, m->next, words * sizeof(m->now[0]));
	return any;
}

/* 0, -EINVAL or -E2BIG. */
static int machine_init(struct machine *m, const char *glob, bool is_path)
{
	size_t length = strnlen(glob, GLOB_MAX + 1);

	if (length > GLOB_MAX)
		return -E2BIG;
	m->glob = glob;
	m->is_path = is_path;
	m->n = 0;
	m->floor = 0;
	for (size_t at = 0, taken; at < length; at += taken) {
		taken = token_parse(glob, at, is_path, &m->tokens[m->n++]);
		if (!taken)
			return -EINVAL;
		if (m->tokens[m->n - 1].kind == TOKEN_DIRS)
			m->tokens[m->n++] = (struct token){.kind = TOKEN_INSIDE};
	}
	memset(m->now, 0, (m->n / WORD_BITS + 1) * sizeof(m->now[0]));
	return m->n ? 0 : -EINVAL;
}

static bool glob_match(const char *glob, const char *text, bool is_path)
{
	bool is_relative = is_path && *glob != '/';
	struct machine m;

	if (machine_init(&m, glob, is_path) < 0)
		return false;
	state_add(&m, m.now, 0);
	for (const char *s = text; *s; s++) {
		bool any = machine_step(&m, (uint8_t)*s);

		/* A relative glob may begin behind every slash. */
		if (is_relative && *s == '/')
			state_add(&m, m.now, 0);
		else if (!any && !is_relative)
			return false;
	}
	return m.now[m.n / WORD_BITS] >> (m.n % WORD_BITS) & 1;
}

size_t glob_literal_length(const char *glob, bool *ret_is_literal)
{
	size_t n = strcspn(glob, "?*[\\");

	if (ret_is_literal)
		*ret_is_literal = !glob[n];
	return n;
}

bool glob_match_path(const char *glob, const char *path)
{
	bool is_literal;
	size_t n = glob_literal_length(glob, &is_literal);

	/* Nearly all globs of policies are decided here. */
	if (*glob == '/' && strncmp(glob, path, n) != 0)
		return false;
	if (*glob == '/' && is_literal)
		return path[n] == '\0';
	return glob_match(glob, path, true);
}

bool glob_match_text(const char *glob, const char *text)
{
	return glob_match(glob, text, false);
}

int glob_check(const char *glob)
{
	struct machine m;

	return machine_init(&m, glob, true);
}

size_t glob_last_component(const char *glob)
{
	size_t last = 0, n;

	for (size_t at = 0; glob[at]; at += n) {
		struct token token;

		n = token_parse(glob, at, false, &token);
		if (!n)
			break;
		if (token.kind == TOKEN_BYTE && token.byte == '/')
			last = at + n;
	}
	return last;
}
