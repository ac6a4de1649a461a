/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/* usage: look ANYTHING... - Does nothing, whatever its name and its arguments are. Ends with its parent. */

int main(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}
