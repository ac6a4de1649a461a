#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the guest, when all else is up: unpacks the tar of /dev/vdb to /payload as soon as there is one, runs /payload/command there
# with the second serial port as its output; then, also when that was killed, writes the exit status and what the command left in
# /payload/out to /dev/vdc.
set -u

has_payload() {
	[ -n "$(dd if=/dev/vdb bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\0')" ]
}

# A guest that is to be saved is started without one; when it goes on, there is one, and some time has gone by.
wait_for_payload() {
	sync
	echo ready >/dev/ttyS1
	until has_payload; do sleep 0.05; done
}

run() {
	systemctl is-system-running --wait >/dev/null
	has_payload || wait_for_payload
	mkdir -p /payload
	tar -C /payload -xf /dev/vdb
	date -s "@$(stat -c %Y /payload/command)" >/dev/null
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
