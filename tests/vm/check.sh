#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: tests/vm/RELEASE [quick | bench]
#
# tests/vm/RELEASE is a link to this: builds govd and its package for RELEASE without a warning, runs the unit tests with its
# libraries, and the suites that depend on kernel, systemd, control groups and the package in a guest of it; then those that
# need little memory in one of 1 GiB. The last line counts, as scripts/run-tests expects, or says why there is no guest: that
# what QEMU needs isn't installed, or Debian's archive isn't to be reached. With `quick`: only a few of the suites. With `bench`:
# measurements, in a guest of 1 GiB, and no tests.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
EXIT_SKIPPED=77
release=$(basename "$0")
mode=${1:-whole}
targets=(all programs-host deb DEB_BUILD_OPTIONS=nocheck)
time_limit=7200 # seconds; with two guests on two CPUs
# Memory and suites of each guest.
case $mode in
whole) guests=("2G whole" "1G small") targets+=(programs-bpf check-unit) ;;
quick) guests=("2G quick") time_limit=1500 ;;
*) guests=("1G $mode") ;;
esac

no_guest() {
	echo "no guest of $release has run: $*"
	exit "$EXIT_SKIPPED"
}

missing=$("$ROOT/scripts/setup" --check vm) || no_guest "$missing (scripts/setup vm installs it)"
"$ROOT/scripts/vm-image" "$release" || {
	[ $? = "$EXIT_SKIPPED" ] && no_guest "its image is made from Debian's archive, which can't be reached"
	echo "the image of $release can't be made: see above"
	exit 1
}
directory=$("$ROOT/scripts/vm-image" "$release" --build "${targets[@]}")
stage=$(mktemp -d "${TMPDIR:-/tmp}/govd-vm-XXXXXX")
trap 'rm -rf "$stage"' EXIT

# The tests also run programs as an ordinary user.
chmod 755 "$stage"
mkdir -p "$stage/build/deb" "$stage/src"
cp -r "$directory"/build/{govd,govctl,govd-hold,govd-recorder,tests} "$stage/build"
rm -rf "$stage/build/tests/log"
cp "$directory"/build/deb/govd_*.deb "$stage/build/deb"
cp -r "$ROOT/scripts" "$ROOT/tests" "$ROOT/README.md" "$stage/src"
status=0
for guest in "${guests[@]}"; do
	read -r memory suites <<<"$guest"
	GOVD_VM_MEMORY=$memory "$ROOT/scripts/vm-run" "$release" --time-limit "${VM_TIME_LIMIT:-$time_limit}" --copy "$stage:govd" -- \
		bash /payload/govd/src/tests/vm/guest.sh "$suites" | tee "$stage/$suites.log" || status=$?
done
# One summary of both; of each guest's, the last line counts.
tail -qn 1 "$stage"/*.log | awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p += $1; f += $3; s += $5; n++ }
	END { if (n) printf "%d passed, %d failed, %d skipped\n", p, f, s }'
exit "$status"
