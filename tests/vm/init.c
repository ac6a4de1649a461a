/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PID 1 of the guests' initrd, static: loads /modules/0, /modules/1, ... (virtio, which Debian's cloud kernel has as
 * modules), mounts /dev/vda and goes on as its init.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOT_TRIES 500 /* times 10 ms */

static void modules_load(void)
{
	char path[32];

	for (int i = 0;; i++) {
		int fd;

		snprintf(path, sizeof(path), "/modules/%d", i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		if (syscall(SYS_finit_module, fd, "", 0) < 0)
			warn("%s", path);
		close(fd);
	}
}

int main(void)
{
	/* The console that the kernel gives to PID 1 needs nothing; the device nodes do. */
	if (mount("dev", "/dev", "devtmpfs", 0, NULL) < 0)
		err(1, "/dev");
	modules_load();
	/* The disk is found behind our back. */
	for (int i = 0; i < ROOT_TRIES && access("/dev/vda", F_OK) < 0; i++)
		usleep(10000);
	if (mount("/dev/vda", "/root", "ext4", 0, NULL) < 0)
		err(1, "/dev/vda");
	if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) < 0 || chdir("/root") < 0 ||
	    mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		err(1, "/root");
	execl("/sbin/init", "/sbin/init", NULL);
	err(1, "/sbin/init");
}
