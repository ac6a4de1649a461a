#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/vm/RELEASE is a link to this: builds govd and its package for RELEASE without a warning, runs the unit tests with its
# libraries, and the suites that depend on kernel, systemd, control groups and the package in a guest of it. The last line
# counts, as scripts/run-tests expects.
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
"$ROOT/scripts/vm-run" "$release" --time-limit "${VM_TIME_LIMIT:-2400}" --copy "$stage:govd" -- \
	bash /payload/govd/src/tests/vm/guest.sh
