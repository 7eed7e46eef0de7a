#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest, on Debian's own kernel, unmodified: loads the module, turns on KSM and huge
# pages, compacts memory, and tests live mappings meanwhile; then with swap space, while pages are swapped
# out and moved between two nodes, also by NUMA balancing. $OUT/tests.txt has the result of each test.
#
# Usage: debian.sh RELEASE SEED STEPS     RELEASE as in 7.3.4+deb13-amd64; STEPS of a random sequence
# scripts/debian_guest.py starts it, beside shadow_rmap.ko, other.ko, rmapctl, try.sh, host.sh, trace.sh, memory.sh,
# moving.sh, samples/*.scn, samples/swap/*.scn and swap/*.ko

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac
release=$1 seed=$2 steps=$3 here=$PWD
debugfs=/sys/kernel/debug/shadow_rmap
# shellcheck source=scripts/guest/try.sh
. ./try.sh
# shellcheck source=scripts/guest/host.sh
. ./host.sh
# shellcheck source=scripts/guest/trace.sh
. ./trace.sh
# shellcheck source=scripts/guest/memory.sh
. ./memory.sh
# shellcheck source=scripts/guest/moving.sh
. ./moving.sh

release_is() { uname -a && [ "$(uname -r)" = "$release" ]; }

# many_migrated: since the counter was $first.
many_migrated() { must test "$(migrated)" -gt $((first + 1000)); }

# Takes each part of the memory away that can be taken away, and gives it back, until the file is there:
# its pages migrate, also during a check.
shuffle_until() {
	until [ -e "$1" ]; do
		for block in /sys/devices/system/memory/memory*; do
			[ "$(cat "$block/removable")" = 1 ] && echo offline >"$block/state" &&
				echo online_movable >"$block/state"
		done
		echo 1 >/proc/sys/vm/compact_memory
	done 2>/dev/null
}

# shuffle_and_compare: checks of 121 processes, until enough pages have migrated: how much memory can be
# taken away differs from boot to boot.
shuffle_and_compare() {
	cat >/tmp/shuffle.scn <<-END
		map main buf 64
		touch main buf all
		tree main 4 3 write buf 0..2 7
		repeat 40
		  check
		end
	END
	shuffle_until /tmp/shuffled &
	shuffler=$! first=$(migrated)
	again 10 many_migrated timeout 600 ./rmapctl run --quiet /tmp/shuffle.scn
	rc=$?
	echo "pages migrated in $rounds rounds: $(($(migrated) - first))"
	touch /tmp/shuffled
	wait $shuffler
	many_migrated && return $rc
}

# A scenario saves files with relative names in its working folder.
scenario() (mkdir -p /tmp/work && cd /tmp/work && timeout 600 "$here/rmapctl" run --quiet "$here/$1")

# This kernel lets no allocation fail on request, which is an error in words.
fail_is_refused() {
	printf 'map main buf 1\nfail 0 touch main buf 0 write\n' >/tmp/fail.scn
	says "needs a kernel with CONFIG_FAILSLAB" timeout 600 ./rmapctl run /tmp/fail.scn
}

# The module of the lab's kernel, which has another name and other options.
refuses_other_module() {
	insmod ./other.ko && return 1
	dmesg | tail -n 5
	must test ! -e /dev/shadow_rmap && must test ! -e $debugfs && ! loaded && dmesg | tail -n 5 | grep -q 'version magic'
}

all_tests() {
	try "the kernel is Debian's" release_is || return
	try "a module for another kernel is refused" refuses_other_module
	try "the module loads" insmod ./shadow_rmap.ko && loaded || return
	host_tests 10
	trace_tests
	try "trace: trace-cmd records and reports" trace_cmd_records
	try "KSM is on" ksm
	try "huge pages are on" huge_pages
	compact &
	compactor=$! first=$(migrated)
	for f in samples/*.scn; do try "${f#samples/}" scenario "$f"; done
	try "corner cases" timeout 600 ./rmapctl selftest
	for mode in pinned mergeable; do
		try "random steps of seed $seed ($mode)" timeout 900 \
			./rmapctl random --quiet --mode $mode --seed "$seed" --steps "$steps" --check-every 20
	done
	kill $compactor
	try "pages have migrated meanwhile" many_migrated
	try "checks find no difference while pages migrate" shuffle_and_compare
	moving_tests
	try "no failslab: fail is refused" fail_is_refused
	try "no rule is broken" rules_hold
	try "the module unloads" unload
}

run_tests all_tests
