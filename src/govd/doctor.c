/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/doctor.h"

#include <jansson.h>
#include <stdarg.h>

#include "base/log.h"
#include "base/text.h"
#include "govd/doctor_check.h"

static void (*const checks[])(struct doctor *doctor) = {
	doctor_check_kernel,	  doctor_check_privileges,  doctor_check_pid_namespace, doctor_check_btf,
	doctor_check_bpf,	  doctor_check_fanotify,    doctor_check_backend,	doctor_check_layout,
	doctor_check_controllers, doctor_check_group_files, doctor_check_psi,		doctor_check_swap,
	doctor_check_swap_limit,  doctor_check_descriptors, doctor_check_inotify,	doctor_check_bus,
	doctor_check_others,
};

static const char *const status_names[] = {
	[DOCTOR_OK] = "ok",
	[DOCTOR_WARN] = "warn",
	[DOCTOR_FAIL] = "fail",
};

void doctor_report(struct doctor *doctor, const char *check, enum doctor_status status, const char *format, ...)
{
	char detail[sizeof(doctor->rows[0].detail)];
	struct doctor_row *row;
	va_list args;

	if (doctor->n_rows == DOCTOR_ROWS_MAX) {
		doctor->error = -ENOBUFS;
		return;
	}
	row = &doctor->rows[doctor->n_rows++];
	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	text_escape(row->check, sizeof(row->check), check);
	text_escape(row->detail, sizeof(row->detail), detail);
	row->status = status;
}

static int print_json(const struct doctor *doctor, size_t flags)
{
	json_t *rows = json_array();
	int r = rows ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < doctor->n_rows; i++) {
		const struct doctor_row *row = &doctor->rows[i];

		if (json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "check", row->check, "status",
							  status_names[row->status], "detail", row->detail)) < 0)
			r = -ENOMEM;
	}
	if (!r && (json_dumpf(rows, stdout, flags) < 0 || putchar('\n') == EOF))
		r = -EIO;
	json_decref(rows);
	return r;
}

static int print_table(const struct doctor *doctor)
{
	int width = 0;

	for (size_t i = 0; i < doctor->n_rows; i++)
		width = MAX2(width, (int)strlen(doctor->rows[i].check));
	for (size_t i = 0; i < doctor->n_rows; i++) {
		const struct doctor_row *row = &doctor->rows[i];

		printf("%-4s  %-*s  %s\n", status_names[row->status], width, row->check, row->detail);
	}
	return 0;
}

static const struct {
	const char *word;
	bool is_json;
	size_t flags;
} formats[] = {
	{"off", false, 0},
	{"short", true, JSON_COMPACT},
	{"pretty", true, JSON_INDENT(2)},
};

static int print_rows(const struct doctor *doctor, const char *word)
{
	int r = -EINVAL;

	for (size_t i = 0; i < ELEMENTSOF(formats); i++)
		if (streq(formats[i].word, word))
			r = formats[i].is_json ? print_json(doctor, formats[i].flags) : print_table(doctor);
	if (!r && fflush(stdout) == EOF)
		r = -errno;
	return r;
}

int doctor_run(const struct doctor_options *options)
{
	_cleanup_free_ struct doctor *doctor = calloc(1, sizeof(*doctor));
	int r;

	if (!doctor) {
		log_err("doctor: %s", strerror(ENOMEM));
		return 1;
	}
	doctor->has_layout = layout_discover(&doctor->layout, doctor->layout_error, sizeof(doctor->layout_error)) >= 0;
	for (size_t i = 0; i < ELEMENTSOF(checks); i++)
		checks[i](doctor);
	r = print_rows(doctor, options->json ? options->json : "off");
	if (r == -EINVAL) {
		log_err("doctor: --json=%s is none of short, pretty, off", options->json);
		return 2;
	}
	if (r < 0 || doctor->error) {
		log_err("doctor: %s", strerror(r < 0 ? -r : -doctor->error));
		return 1;
	}
	for (size_t i = 0; i < doctor->n_rows; i++)
		if (doctor->rows[i].status == DOCTOR_FAIL)
			return 1;
	return 0;
}
