#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the guest: unpacks the tar of /dev/vdb to /payload, runs /payload/command there with the second serial port as its
# output; then, also when that was killed, writes the exit status and what the command left in /payload/out to /dev/vdc.
set -u

run() {
	mkdir -p /payload
	tar -C /payload -xf /dev/vdb
	mkdir -p /payload/out
	cd /payload || exit
	stty -F /dev/ttyS1 raw -echo
	bash /payload/command </dev/null >/dev/ttyS1 2>&1
	echo $? >/payload/status
}

# The first block is the status, a tar follows.
finish() {
	local status=125
	[ ! -s /payload/status ] || status=$(cat /payload/status)
	tar -C /payload/out -cf - . | dd of=/dev/vdc bs=64k seek=1 conv=fsync 2>/dev/null
	printf 'govd-status %s\n' "$status" | dd of=/dev/vdc bs=512 count=1 conv=sync,notrunc,fsync 2>/dev/null
	echo o >/proc/sysrq-trigger
	sleep 60
}

case ${1:-} in
--finish) finish ;;
*) run ;;
esac
