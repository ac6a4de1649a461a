#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the guest: the suites of tests/vm and the demo in a scope that nothing was delegated to, as from a shell, and all
# others in a scope with Delegate=yes, for which systemd switches on all controllers, with the native backend. What depends
# on how agents are placed runs with the systemd backend, too. With `quick`: of each what tells most in a few minutes; with
# `small`: what is for a guest of 1 GiB; with `bench`: the measurements.
set -euo pipefail

export GOVD_BUILD=/payload/govd/build
export GOVD=$GOVD_BUILD/govd GOVCTL=$GOVD_BUILD/govctl
export GOVD_TEST_EMULATED=1 HELD_STARTS=300 CAUGHT_STARTS=200 QUICK_STARTS=500
cd /payload/govd/src

bin=$GOVD_BUILD/tests
plain=(vm: tests/vm/test_systemd.py tests/vm/test_scopes.py tests/vm/test_pressure.py tests/vm/test_leak.py tests/vm/test_package.py
	tests/vm/test_bus.py tests/vm/test_chaos.py host: tests/host/test_demo.py)
native=(bpf: "$bin/bpf" host: "$bin"/test_group* "$bin"/test_hold* tests/host/test_govern.py tests/host/test_storm.py
	tests/host/test_placement.py tests/host/test_oom.py tests/host/test_tools.py tests/host/test_doctor.py tests/host/test_connect_*.py)
systemd=(host: tests/host/test_placement.py tests/host/test_govern.py tests/host/test_tools.py tests/host/test_storm.py
	tests/host/test_oom.py tests/host/test_hostile.py tests/host/test_hostile_life.py tests/host/test_protect.py tests/host/test_stop.py
	tests/host/test_connect_*.py)

select_quick() {
	local scopes=test_agent_is_a_scope_with_its_limits_and_name units=test_service_with_delegation_limits_all
	scopes+=,test_held_agent_is_in_its_scope_at_its_first_line,test_service_is_left_where_it_is_unless_the_policy_says_otherwise
	scopes+=,test_many_scopes_are_all_placed_and_named,test_reexec_of_systemd_loses_none,test_killed_govd_finds_all_again
	units+=,test_limits_stay_when_the_unit_has_gone_and_systemd_reloads
	plain=(vm: "tests/vm/test_systemd.py@$units" "tests/vm/test_scopes.py@$scopes"
		tests/vm/test_pressure.py@test_livelock_ends_the_agent_within_10_s
		tests/vm/test_package.py@test_from_installation_to_purge)
	native=(host: "tests/host/test_govern.py@test_memory_cap_is_in_force,test_tasks_cap_is_in_force"
		tests/host/test_oom.py@test_kill_agent_ends_all_of_it tests/host/test_connect_excess.py@test_refuse)
	systemd=(host: tests/host/test_oom.py@test_an_agent_that_hoards_is_told_with_its_evidence
		tests/host/test_tools.py@test_kill_tool_ends_the_tool_and_the_agent_lives tests/host/test_connect_excess.py@test_delay)
}

case ${1:-whole} in
quick) select_quick ;;
small) exec systemd-run --quiet --scope scripts/run-tests vm: tests/vm/test_emergency.py ;;
bench) exec systemd-run --quiet --scope python3 tests/vm/compare_emergency.py ;;
esac
log=$(mktemp)
status=0
uname -sr
"$GOVD" --doctor || status=$?
systemd-run --quiet --scope scripts/run-tests "${plain[@]}" | tee "$log" || status=$?
GOVD_TEST_BACKEND=native systemd-run --quiet --scope --property=Delegate=yes scripts/run-tests "${native[@]}" |
	tee -a "$log" || status=$?
GOVD_TEST_BACKEND=systemd systemd-run --quiet --scope --property=Delegate=yes scripts/run-tests "${systemd[@]}" |
	tee -a "$log" || status=$?
# One summary of all.
awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p += $1; f += $3; s += $5 }
	END { printf "%d passed, %d failed, %d skipped\n", p, f, s }' "$log"
exit "$status"
