# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# What the tests of the guest share: each is a line of KTAP on the console; $OUT/test.ktap is the
# whole document.  Sourced, never run.

number=0 failed=0
: >/tmp/lines

report() { echo "$*" | tee -a /tmp/lines; }

# try NAME COMMAND...: passes when the command does; otherwise what it said is the reason.
try() {
	name=$1
	shift
	number=$((number + 1))
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

finish() {
	{
		echo "KTAP version 1"
		echo "1..$number"
		cat /tmp/lines
	} >"$OUT/test.ktap"
	exit $((failed > 0))
}
