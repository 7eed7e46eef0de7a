# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# What the tests of the guest share: each test is a line on the console and in $OUT/tests.txt;
# $OUT/times.txt has the seconds since the boot as well.
# Sourced, never run.

failed=0

module=shadow_rmap

loaded() { grep -q "^$module " /proc/modules; }
not_in_use() { ! [ "$(awk -v m=$module '$1 == m { print $3 }' /proc/modules)" -gt 0 ]; }
unload() { rmmod $module && ! loaded; }
unload_fails() { ! rmmod $module 2>&1 && loaded; }

# mode_is MODE FILE
mode_is() {
	mode=$(stat -c %a "$2")
	[ "$mode" = "$1" ] || { echo "$2: mode $mode, not $1"; return 1; }
}

report() {
	echo "$*" | tee -a "$OUT/tests.txt"
	echo "$(cut -d ' ' -f 1 /proc/uptime) $*" >>"$OUT/times.txt"
}

# try NAME COMMAND...: one test, which passes when the command does; otherwise the end of its output
# is the reason.
try() {
	name=$1
	shift
	"$@" >/tmp/said 2>&1 </dev/null && { report "ok: $name"; return; }
	rc=$?
	failed=1
	tail -n 20 /tmp/said | sed 's/^/# /'
	report "not ok: $name: exit status $rc: $(tail -n 1 /tmp/said | cut -c1-150)"
	return 1
}

# must COMMAND...: says which one of several commands of a test has failed.
must() { "$@" || { echo "failed: $*"; return 1; }; }

# says TEXT COMMAND...: the command fails with this text.
says() {
	text=$1
	shift
	"$@" >/tmp/said_it 2>&1 && { echo "it succeeded"; return 1; }
	cat /tmp/said_it
	grep -qF -- "$text" /tmp/said_it
}

# rules_hold [FILE]: the file of debugfs has its 41 rules, and none is broken.
rules_hold() {
	set -- "${1:-/sys/kernel/debug/shadow_rmap/rules}"
	must test "$(grep -cE '^R[0-9]+ .* violations=[0-9]+$' "$1")" = 41 && must test "$(wc -l <"$1")" = 41 &&
		! grep -v ' violations=0$' "$1"
}

# within SECS COMMAND...: waits until the command succeeds.
within() {
	left=$1
	shift
	until "$@" >/dev/null 2>&1 || [ "$left" = 0 ]; do
		left=$((left - 1))
		sleep 1
	done
	"$@"
}

# again MOST ENOUGH COMMAND...: the command, until it fails, or the function ENOUGH succeeds, but MOST times at most.
# $rounds counts.
again() {
	most=$1 enough=$2 rc=0 rounds=0
	shift 2
	until [ $rc != 0 ] || [ $rounds = "$most" ] || "$enough" >/dev/null; do
		"$@"
		rc=$? rounds=$((rounds + 1))
	done
	return $rc
}

# absent PATTERN: no file has such a name.
# shellcheck disable=SC2086 # a pattern
absent() { ! ls -d $1 2>/dev/null; }

# run_tests FUNCTION: the function returns where the tests that follow have no sense; the last line
# says that it was not the guest which ended.
run_tests() {
	"$1"
	report "tests: done"
	exit $failed
}

slab=/sys/kernel/debug/failslab

# set_slab NAME=VALUE...: configures which allocations fail.
set_slab() {
	for setting; do
		echo "${setting#*=}" >"$slab/${setting%%=*}" || return 1
	done
}

# Allocations fail in processes that ask for that.
fail_on_request() {
	set_slab probability=0 task-filter=Y verbose=0 ignore-gfp-wait=N cache-filter=N space=0
}
