#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the guest: the suites of tests/vm and the demo in a scope that nothing was delegated to, as from a shell, and all
# others in a scope with Delegate=yes, for which systemd switches on all controllers, with the native backend. What depends
# most on how agents are placed runs with the systemd backend, too. With `small`: what is for a guest of 1 GiB; with `bench`:
# the measurements.
set -euo pipefail

export GOVD_BUILD=/payload/govd/build
export GOVD=$GOVD_BUILD/govd GOVCTL=$GOVD_BUILD/govctl
export GOVD_TEST_EMULATED=1 HELD_STARTS=300 CAUGHT_STARTS=200
cd /payload/govd/src

bin=$GOVD_BUILD/tests
host=("$bin"/test_group "$bin"/test_group_guard "$bin"/test_group_life "$bin"/test_group_saved
	"$bin"/test_hold "$bin"/test_hold_life "$bin"/test_hold_second "$bin"/test_hold_watch tests/host/test_govern.py tests/host/test_storm.py
	tests/host/test_placement.py tests/host/test_oom.py tests/host/test_tools.py tests/host/test_connect_*.py)
placed=(tests/host/test_placement.py tests/host/test_govern.py tests/host/test_tools.py tests/host/test_storm.py tests/host/test_connect_rate.py)
case ${1:-whole} in
small) exec systemd-run --quiet --scope scripts/run-tests vm: tests/vm/test_emergency.py ;;
bench) exec systemd-run --quiet --scope python3 tests/vm/compare_emergency.py ;;
esac
log=$(mktemp)
status=0
uname -sr
"$GOVD" --doctor || status=$?
systemd-run --quiet --scope scripts/run-tests vm: tests/vm/test_systemd.py tests/vm/test_scopes.py tests/vm/test_pressure.py \
	tests/vm/test_package.py \
	host: tests/host/test_demo.py | tee "$log" || status=$?
GOVD_TEST_BACKEND=native systemd-run --quiet --scope --property=Delegate=yes scripts/run-tests bpf: "$bin/bpf" \
	host: "${host[@]}" | tee -a "$log" || status=$?
GOVD_TEST_BACKEND=systemd systemd-run --quiet --scope --property=Delegate=yes scripts/run-tests \
	host: "${placed[@]}" | tee -a "$log" || status=$?
# One summary of all.
awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p += $1; f += $3; s += $5 }
	END { printf "%d passed, %d failed, %d skipped\n", p, f, s }' "$log"
exit "$status"
