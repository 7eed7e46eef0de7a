# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# What the tests of the guest share: each test is a line of KTAP on the console, and $OUT/test.ktap is
# the whole document. Sourced, never run.

number=0 failed=0 dry=''

report() { echo "$*" | tee -a /tmp/lines; }

# try NAME COMMAND...: one test, which passes when the command does; otherwise the end of its output
# is the reason.
try() {
	number=$((number + 1))
	[ -z "$dry" ] || return 0
	name=$1
	shift
	if "$@" >/tmp/said 2>&1 </dev/null; then
		report "ok $number $name"
		return 0
	else
		rc=$?
	fi
	failed=$((failed + 1))
	tail -n 20 /tmp/said | tr '#' '=' | while read -r line; do report "# $line"; done
	report "not ok $number $name # exit status $rc: $(tail -n 1 /tmp/said | tr -d '#' | cut -c1-150)"
	return 1
}

# act COMMAND...: a command between two tests.
act() { [ -n "$dry" ] || "$@"; }

# run_tests FUNCTION: calls FUNCTION twice, first to count its tests for the plan. It uses `try` and
# `act` alone, and returns where the tests that follow have no sense.
run_tests() {
	dry=1
	"$1"
	printf 'KTAP version 1\n1..%s\n' $number >/tmp/lines
	dry='' number=0
	cat /tmp/lines
	"$1"
	cp /tmp/lines "$OUT/test.ktap"
	exit $((failed > 0))
}
