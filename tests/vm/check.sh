#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: tests/vm/RELEASE [bench]
#
# tests/vm/RELEASE is a link to this: builds govd and its package for RELEASE without a warning, runs the unit tests with its
# libraries, and the suites that depend on kernel, systemd, control groups and the package in a guest of it; then those that
# need little memory in one of 1 GiB. The last line counts, as scripts/run-tests expects. With `bench`: measurements, in a
# guest of 1 GiB, and no tests.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
release=$(basename "$0")
directory=$("$ROOT/scripts/vm-image" "$release" --build all programs-bpf programs-host check-unit deb DEB_BUILD_OPTIONS=nocheck)
stage=$(mktemp -d "${TMPDIR:-/tmp}/govd-vm-XXXXXX")
trap 'rm -rf "$stage"' EXIT

# The tests also run programs as an ordinary user.
chmod 755 "$stage"
mkdir -p "$stage/build/deb" "$stage/src"
cp -r "$directory"/build/{govd,govctl,govd-hold,govd-recorder,tests} "$stage/build"
rm -rf "$stage/build/tests/log"
cp "$directory"/build/deb/govd_*.deb "$stage/build/deb"
cp -r "$ROOT/scripts" "$ROOT/tests" "$ROOT/README.md" "$stage/src"
# Memory and suites of each guest.
guests=("2G whole" "1G small")
[ "${1:-whole}" = whole ] || guests=("1G $1")
status=0
for guest in "${guests[@]}"; do
	read -r memory suites <<<"$guest"
	GOVD_VM_MEMORY=$memory "$ROOT/scripts/vm-run" "$release" --time-limit "${VM_TIME_LIMIT:-2400}" --copy "$stage:govd" -- \
		bash /payload/govd/src/tests/vm/guest.sh "$suites" | tee "$stage/$suites.log" || status=$?
done
# One summary of both; of each guest's, the last line counts.
tail -qn 1 "$stage"/*.log | awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p += $1; f += $3; s += $5; n++ }
	END { if (n) printf "%d passed, %d failed, %d skipped\n", p, f, s }'
exit "$status"
