/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "base/macro.h"

Test(macro, closed_descriptor_is_forgotten)
{
	int fd = dup(STDERR_FILENO), later;

	cr_assert_geq(fd, 0);
	errno = EBUSY;
	close_p(&fd);
	cr_expect_eq(errno, EBUSY);
	cr_expect_eq(fd, -EBADF);
	later = dup(STDERR_FILENO);
	close_p(&fd);
	cr_expect_eq(write(later, "", 0), 0, "closed again, and that is another's by now");
	close_p(&later);
}
