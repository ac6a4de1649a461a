/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVD_DOCTOR_CHECK_H
#define GOV_GOVD_DOCTOR_CHECK_H

#include "act/layout.h"
#include "base/macro.h"

/* The checks of doctor.c and what they share. */

enum doctor_status { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor_row {
	char check[48];
	enum doctor_status status;
	char detail[512]; /* printable UTF-8 */
};

#define DOCTOR_ROWS_MAX 48

struct doctor {
	struct layout layout;
	bool has_layout;
	bool is_systemd; /* what --backend auto means here */
	char layout_error[256];
	struct doctor_row rows[DOCTOR_ROWS_MAX];
	size_t n_rows;
	int error; /* of a check that couldn't be told: -ENOBUFS */
};

/* detail: what was found; of a warning and a failure also what degrades and what to do. */
void doctor_report(struct doctor *doctor, const char *check, enum doctor_status status, const char *format, ...)
	_printf_(4, 5);

/* doctor_kernel.c */
void doctor_check_kernel(struct doctor *doctor);
void doctor_check_privileges(struct doctor *doctor);
void doctor_check_btf(struct doctor *doctor);
void doctor_check_bpf(struct doctor *doctor);
void doctor_check_fanotify(struct doctor *doctor);
void doctor_check_pid_namespace(struct doctor *doctor);

/* doctor_cgroup.c */
void doctor_check_layout(struct doctor *doctor);
void doctor_check_controllers(struct doctor *doctor);
void doctor_check_group_files(struct doctor *doctor);
void doctor_check_backend(struct doctor *doctor);

/* doctor_memory.c */
void doctor_check_psi(struct doctor *doctor);
void doctor_check_ladder(struct doctor *doctor, int group_fd);
void doctor_check_swap(struct doctor *doctor);
void doctor_check_swap_limit(struct doctor *doctor);
void doctor_check_descriptors(struct doctor *doctor);
void doctor_check_inotify(struct doctor *doctor);

/* doctor_bus.c */
void doctor_check_bus(struct doctor *doctor);

/* doctor_others.c */
void doctor_check_others(struct doctor *doctor);

#endif
