#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: unmodified programs of this machine with memory of /dev/shadow_rmap, by the
# shim of samples/preload/. The shadow of each is compared with the host while it runs, by each of its
# processes when it ends, and afterwards. A program that gets no memory of the device must be noticed,
# and so must a module that breaks a rule.
#
# Usage: preload.sh     scripts/preload.py names the files that must be in the same folder
# $OUT/NAME.out is what the program NAME printed, NAME.report has a line for each of its processes,
# NAME.compare one for each comparison while it ran, NAME.differences the text of those that failed

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac

here=$PWD
debugfs=/sys/kernel/debug/shadow_rmap
# shellcheck source=scripts/guest/try.sh
. ./try.sh

# watch NAME: compares again and again, until the file /tmp/watching is gone, or fails.
watch() {
	while [ -e /tmp/watching ]; do
		if ! cat $debugfs/compare >/tmp/compared 2>/tmp/unread; then
			sed 's/^/no comparison: /' /tmp/unread >>"$OUT/$1.differences"
			return 1
		fi
		tail -n 1 /tmp/compared >>"$OUT/$1.compare"
		grep -q ' violations=0 differences=0$' /tmp/compared ||
			head -n 200 /tmp/compared >>"$OUT/$1.differences"
		sleep 0.2
	done
}

# run NAME COMMAND...: runs a program with the shim.
run() {
	ran=$1
	shift
	for file in out report compare differences; do rm -f "$OUT/$ran.$file"; done
	watcher=''
	if [ -e $debugfs ]; then
		: >/tmp/watching
		watch "$ran" &
		watcher=$!
	fi
	timeout 300 env LD_PRELOAD="$here/shadow_preload.so" SHADOW_PRELOAD_CHECK=1 \
		SHADOW_PRELOAD_REPORT="$OUT/$ran.report" "$@" >"$OUT/$ran.out" 2>&1
	rc=$?
	rm -f /tmp/watching
	[ -z "$watcher" ] || wait "$watcher" ||
		echo "no comparison: the watcher ended with status $?" >>"$OUT/$ran.differences"
	tail -n 5 "$OUT/$ran.out"
	return $rc
}

# sum NAME FIELD: adds the numbers of all processes.
sum() { grep -o " $2=[0-9]*" "$OUT/$1.report" | awk -F= '{ n += $2 } END { print n + 0 }'; }

# counted NAME FIELD...: the shim has counted each of these.
counted() {
	report=$1
	shift
	for field; do must test "$(sum "$report" "$field")" -gt 0 || return 1; done
}

used_device() { counted "$1" mappings pages; }

# agrees NAME [UNTRACKED]: no check of a process and no comparison has found anything, or has failed.
agrees() {
	! head -n 20 "$OUT/$1.differences" 2>/dev/null || return 1
	cat "$OUT/$1.report" "$OUT/$1.compare" >/tmp/checks || return 1
	grep -q ' violations=' /tmp/checks && ! grep 'no check: error' /tmp/checks &&
		! grep ' violations=' /tmp/checks |
		grep -v "${2:- untracked=0} .*violations=0 differences=0\$"
}

# Some of the checks had pages to look at.
had_pages() {
	grep -qs ' pages=[1-9][0-9]* untracked=' "$OUT/$1.report" "$OUT/$1.compare"
}

# A process that was killed may need a moment.
nothing_left() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		cat $debugfs/compare
		grep -q '^compare: vmas=0 .* violations=0 differences=0$' $debugfs/compare && return
		sleep 1
	done
	return 1
}

# Shows what the tests of one program are about.
summary() {
	report "# $1: $(wc -l <"$OUT/$1.report") processes, $(sum "$1" mappings) mappings" \
		"with $(sum "$1" pages) pages of the device, $(sum "$1" refused) refused," \
		"$(grep -c check: "$OUT/$1.report") checks, $(wc -l <"$OUT/$1.compare") comparisons"
}

# verdict NAME: what is demanded of each program.
verdict() {
	summary "$1"
	try "$1: uses the device" used_device "$1"
	try "$1: checks had pages to look at" had_pages "$1"
	try "$1: the shadow agrees with the host" agrees "$1"
	try "$1: leaves nothing" nothing_left
}

# program NAME COMMAND...
program() {
	try "$1: runs" run "$@"
	verdict "$1"
}

# stress NAME OPTION...: a stressor of stress-ng, by two processes.
stress() {
	stressor=$1
	shift
	program "stress-$stressor" stress-ng "--$stressor" 2 --timeout 3 --temp-path /tmp "$@" \
		--cache-level 1
}

# failed_tests FILE: the tests that a self-test of the kernel has reported as failed.
failed_tests() { sed -n 's/^not ok [0-9]* //p' "$1" | sort; }

# same_results NAME FAILED...: with the shim fail the tests that fail without it, and these.
same_results() {
	self=$1
	shift
	timeout 300 "./$self" >"$OUT/$self.plain" 2>&1
	must grep -q '^# Totals: pass:[1-9]' "$OUT/$self.plain" &&
		must grep -q '^# Totals: pass:[1-9]' "$OUT/$self.out" || return 1
	failed_tests "$OUT/$self.plain" >/tmp/plain
	for test; do echo "$test"; done | sort - /tmp/plain >/tmp/expected
	failed_tests "$OUT/$self.out" >/tmp/failed
	diff /tmp/expected /tmp/failed
}

# self_test NAME FAILED...: a program of the kernel's tools/testing/selftests/mm. Its exit status
# says only whether each test has passed.
self_test() {
	run "$1" "./$1" >/dev/null 2>&1
	report "$(grep '^# Totals:' "$OUT/$1.out")"
	try "$1: its tests have the expected results" same_results "$@"
	verdict "$1"
}

programs() {
	program python3-forks /usr/bin/python3 "$here/forks.py"
	program python3-sqlite3 /usr/bin/python3 "$here/database.py"
	program cc cc -O2 -o /tmp/check "$here/check.c" "-I$here"
	try "cc: its output works" /tmp/check
	stress fork
	stress vm --vm-bytes 8m
	stress mremap --mremap-bytes 4m
	stress mmapfork
	# An anonymous VMA without pages gets the page offsets of its new place when it is moved, and
	# is merged there. A VMA of a file keeps its own.
	moved=merge.mremap_unfaulted
	self_test merge ${moved}_to_faulted ${moved}_behind_faulted ${moved}_between_faulted \
		${moved}_between_faulted_unfaulted ${moved}_between_correctly_placed_faulted
	self_test cow
	self_test mremap_dontunmap
}

other_kinds() {
	run kinds /usr/bin/python3 "$here/kinds.py" &&
		counted kinds mappings freed advice other_kind reopened
}

# Beyond the limits of the device a program gets anonymous memory.
limited() { run limited /usr/bin/python3 "$here/forks.py" && counted limited mappings refused; }

without_device() { run without /usr/bin/python3 "$here/forks.py" && counted without refused; }

# Without a file to read the watcher fails. The checks of the processes are as usual.
unread() {
	mkdir -p /tmp/empty
	debugfs=/tmp/empty
	run unread /usr/bin/python3 "$here/forks.py"
	debugfs=/sys/kernel/debug/shadow_rmap
	cp "$OUT/kinds.compare" "$OUT/unread.compare"
	must grep "^no comparison: .*No such file" "$OUT/unread.differences" && ! agrees unread
}

no_mapping() { ! used_device "$1"; }
disagrees() { grep -m 1 ' differences=[1-9]' "$OUT/$1.report" && ! agrees "$1" >/dev/null; }

all_tests() {
	cd /tmp && cp "$here"/* /tmp || return
	try "the module loads" insmod ./shadow_rmap.ko || return
	programs
	try "kinds: what cannot be of the device is counted" other_kinds
	try "kinds: the shadow agrees with the host" agrees kinds
	try "a comparison that fails is noticed" unread
	try "the module unloads" rmmod shadow_rmap || return

	try "limits: the module loads" insmod ./shadow_rmap.ko max_pages=1000 || return
	try "limits: the program runs" limited
	try "limits: the shadow agrees with the host" agrees limited " untracked=[0-9]*"
	try "limits: the module unloads" rmmod shadow_rmap || return

	try "no device: the program runs" without_device
	try "no device: this is noticed" no_mapping without

	try "busted: the module loads" insmod ./busted.ko || return
	try "busted: a bug is chosen" eval "echo ForgetsRootLink >$debugfs/bust" || return
	try "busted: the program runs" run busted /usr/bin/python3 "$here/forks.py"
	try "busted: this is noticed" disagrees busted
	try "busted: the module unloads" rmmod shadow_rmap
}

run_tests all_tests
