/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "out/restarts.h"

#include <fcntl.h>
#include <inttypes.h>

#include "base/file.h"
#include "base/text.h"

#define RELEASED "released"
#define SUSPENDED "suspended"
#define MAGIC "govd-restarts1"
#define PID_MAX ((UINT64_C(1) << 22) - 1) /* PID_MAX_LIMIT, include/linux/threads.h */
#define TICKS_MAX ((UINT64_C(1) << 40) - 1)

int restarts_boot_id(char ret_boot[static RESTARTS_BOOT_MAX])
{
	ssize_t n = file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", ret_boot, RESTARTS_BOOT_MAX);

	if (n < 0)
		return (int)n;
	ret_boot[strcspn(ret_boot, "\n")] = '\0';
	return *ret_boot ? 0 : -ENODATA;
}

void restarts_write_head(FILE *file, const char *boot)
{
	fprintf(file, MAGIC " %s\n", boot);
}

void restarts_write(FILE *file, const struct restart *restart, uint64_t now_ns)
{
	fprintf(file, "%016" PRIx64 " %s %" PRIu64 " %" PRIu64 " %" PRIu64 " ", restart->id, restart->policy,
		restart->starts, restart->used_ns, now_ns - restart_own_ns(restart, now_ns));
	if (restart->has_exit_code)
		fprintf(file, "%" PRId32, restart->exit_code);
	else
		fputc('-', file);
	for (size_t i = 0; i < restart->n_crashes; i++)
		fprintf(file, " %" PRIu64, restart->crash_ns[i]);
	fputc('\n', file);
}

void restarts_write_released(FILE *file, pid_t pid, uint64_t start_ticks)
{
	fprintf(file, RELEASED " %d %" PRIu64 "\n", (int)pid, start_ticks);
}

void restarts_write_suspended(FILE *file, const char *policy)
{
	fprintf(file, SUSPENDED " %s\n", policy);
}

bool restarts_is_head(const char *line, const char *boot)
{
	size_t length = strlen(MAGIC " ");

	return strncmp(line, MAGIC " ", length) == 0 && streq(line + length, boot);
}

/* Takes one field from the line; NULL: there is none. */
static char *next_field(char **line)
{
	return strsep(line, " ");
}

static int parse_number(const char *field, int base, uint64_t max, uint64_t *ret_number)
{
	uint64_t number;
	char *end;

	/* strtoull(3) would take blanks and signs. */
	if (!field || !strchr("0123456789abcdef", *field))
		return -EINVAL;
	errno = 0;
	number = strtoull(field, &end, base);
	if (errno || *end || end == field || number > max)
		return -EINVAL;
	*ret_number = number;
	return 0;
}

static int parse_exit(const char *field, struct restart *restart)
{
	uint64_t code;

	if (field && streq(field, "-"))
		return 0;
	/* A wait status has 16 bits. */
	if (parse_number(field, 10, UINT16_MAX, &code) < 0)
		return -EINVAL;
	restart->exit_code = (int32_t)code;
	restart->has_exit_code = true;
	return 0;
}

static int parse_crashes(char **line, struct restart *restart)
{
	uint64_t last_ns = 0, ns;
	char *field;

	while ((field = next_field(line))) {
		if (restart->n_crashes == RESTART_CRASHES_MAX || parse_number(field, 10, INT64_MAX, &ns) < 0 ||
		    ns < last_ns)
			return -EINVAL;
		restart_add_crash(restart, ns);
		last_ns = ns;
	}
	return 0;
}

int restarts_parse(const char *line, struct restart *ret_restart)
{
	_cleanup_(restart_done) struct restart restart = {0};
	char copy[RESTARTS_LINE_MAX], *rest = copy;
	const char *policy;

	if (!text_copy(copy, sizeof(copy), line))
		return -EINVAL;
	if (parse_number(next_field(&rest), 16, UINT64_MAX, &restart.id) < 0 || !restart.id)
		return -EINVAL;
	policy = next_field(&rest);
	if (str_empty(policy) || !text_copy(restart.policy, sizeof(restart.policy), policy))
		return -EINVAL;
	if (parse_number(next_field(&rest), 10, UINT64_MAX, &restart.starts) < 0 ||
	    parse_number(next_field(&rest), 10, INT64_MAX, &restart.used_ns) < 0 ||
	    parse_number(next_field(&rest), 10, INT64_MAX, &restart.delayed_ns) < 0 ||
	    parse_exit(next_field(&rest), &restart) < 0 || parse_crashes(&rest, &restart) < 0)
		return -EINVAL;
	*ret_restart = restart;
	restart = (struct restart){0};
	return 0;
}

int restarts_parse_released(const char *line, pid_t *ret_pid, uint64_t *ret_start_ticks)
{
	char copy[64], *rest = copy;
	uint64_t pid, ticks;
	const char *word;

	if (!text_copy(copy, sizeof(copy), line))
		return -EINVAL;
	word = next_field(&rest);
	if (!word || !streq(word, RELEASED) || parse_number(next_field(&rest), 10, PID_MAX, &pid) < 0 || pid < 2 ||
	    parse_number(next_field(&rest), 10, TICKS_MAX, &ticks) < 0 || rest)
		return -EINVAL;
	*ret_pid = (pid_t)pid;
	*ret_start_ticks = ticks;
	return 0;
}

int restarts_parse_suspended(const char *line, char ret_policy[static POLICY_NAME_MAX])
{
	size_t length = strlen(SUSPENDED " ");

	if (strncmp(line, SUSPENDED " ", length) != 0 || str_empty(line + length) || strchr(line + length, ' '))
		return -EINVAL;
	if (strlen(line + length) >= POLICY_NAME_MAX)
		return -EINVAL;
	(void)text_copy(ret_policy, POLICY_NAME_MAX, line + length);
	return 0;
}
