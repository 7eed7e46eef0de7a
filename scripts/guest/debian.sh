#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest, on Debian's own kernel, unmodified: loads the module, turns on KSM and huge
# pages, compacts memory, and tests live mappings meanwhile; then with swap space, while pages are swapped
# out and moved between two nodes, also by NUMA balancing. $OUT/tests.txt has the result of each test.
#
# Usage: debian.sh RELEASE SEED STEPS     RELEASE as in 7.3.4+deb13-amd64; STEPS of a random sequence
# scripts/debian_guest.py starts it, beside shadow_rmap.ko, other.ko, rmapctl, try.sh, host.sh, trace.sh, memory.sh,
# samples/*.scn, samples/swap/*.scn and swap/*.ko

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

release_is() { uname -a && [ "$(uname -r)" = "$release" ]; }

# many_migrated BEFORE
many_migrated() { must test "$(migrated)" -gt $(($1 + 1000)); }

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
	shuffler=$! first=$(migrated) rc=0 rounds=0
	until [ $rc != 0 ] || [ $rounds = 10 ] || many_migrated "$first" >/dev/null; do
		timeout 600 ./rmapctl run --quiet /tmp/shuffle.scn
		rc=$? rounds=$((rounds + 1))
	done
	echo "pages migrated in $rounds rounds: $(($(migrated) - first))"
	touch /tmp/shuffled
	wait $shuffler
	must many_migrated "$first" && return $rc
}

# A scenario saves files with relative names in its working folder.
scenario() (mkdir -p /tmp/work && cd /tmp/work && timeout 600 "$here/rmapctl" run --quiet "$here/$1")

# ksm_and_compare: KSM merges pages of three processes that are alive, and takes a reference on an
# anon_vma for each.
ksm_and_compare() {
	cat >/tmp/family.scn <<-END
		map main buf 64
		touch main buf all write 7
		fork main child
		touch child buf 0..32 write 7
		fork child grand
		touch grand buf 16..48 write 7
		advise main buf all mergeable
		repeat 1000000
		  touch main buf 0 read 7
		end
	END
	timeout 600 ./rmapctl run /tmp/family.scn >/tmp/family.log 2>&1 &
	family=$!
	left=120
	until [ "$(cat $mm/ksm/pages_sharing)" -gt 0 ] || [ $left = 0 ]; do
		left=$((left - 1))
		sleep 1
	done
	sharing=$(cat $mm/ksm/pages_sharing)
	cat $debugfs/compare >/tmp/compare
	echo 0 >$debugfs/host/pid && cat $debugfs/host/chains >/tmp/chains
	kill $family
	wait $family
	tail -n 20 /tmp/family.log
	cat /tmp/compare
	must test "$sharing" -gt 0 && must grep -q '^anon_vma .*, [1-9][0-9]* pins$' /tmp/chains &&
		must grep -q "^compare: vmas=3 .* untracked=0 .* violations=0 differences=0$" /tmp/compare
}

# balance_and_compare: checks of two processes that use their memory all the time, while the kernel moves pages to
# the nodes of the CPUs on which they run.
balance_and_compare() {
	cat >/tmp/balance.scn <<-END
		map main buf 2000
		touch main buf all write
		fork main child
		repeat 40
		  touch main buf all write 3
		  touch child buf all read
		  check
		end
	END
	first=$(counted numa_pages_migrated) rc=0 rounds=0
	until [ $rc != 0 ] || [ $rounds = 5 ] || [ "$(counted numa_pages_migrated)" -gt $((first + 100)) ]; do
		timeout 600 ./rmapctl run --quiet /tmp/balance.scn
		rc=$? rounds=$((rounds + 1))
	done
	echo "pages that NUMA balancing has moved in $rounds rounds: $(($(counted numa_pages_migrated) - first))"
	must test "$(counted numa_pages_migrated)" -gt $((first + 100)) && return $rc
}

# This kernel lets no allocation fail on request, which is an error in words.
fail_is_refused() {
	printf 'map main buf 1\nfail 0 touch main buf 0 write\n' >/tmp/fail.scn
	says "needs a kernel with CONFIG_FAILSLAB" timeout 600 ./rmapctl run /tmp/fail.scn
}

# patient COMMAND...: a command of rmapctl. A process may wait for its pages for long.
patient() { timeout 900 ./rmapctl "$@" --quiet --timeout 300; }

# While pages are swapped out and migrate.
swap_tests() {
	for f in samples/swap/*.scn; do try "swap: ${f##*/}" disturbed patient run "$f"; done
	for mode in pinned mergeable; do
		try "swap: random steps of seed $seed ($mode)" disturbed \
			patient random --mode $mode --seed "$seed" --steps "$steps" --check-every 5
	done
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
	compactor=$! before=$(migrated)
	for f in samples/*.scn; do try "${f#samples/}" scenario "$f"; done
	try "corner cases" timeout 600 ./rmapctl selftest
	for mode in pinned mergeable; do
		try "random steps of seed $seed ($mode)" timeout 900 \
			./rmapctl random --quiet --mode $mode --seed "$seed" --steps "$steps" --check-every 20
	done
	kill $compactor
	try "pages have migrated meanwhile" many_migrated "$before"
	try "checks find no difference while pages migrate" shuffle_and_compare
	try "compare finds no difference where KSM has merged pages" ksm_and_compare
	try "NUMA balancing is on" balance
	try "checks find no difference while NUMA balancing moves pages" balance_and_compare
	try "no failslab: fail is refused" fail_is_refused
	try "swap: it is on" swap_on && try "swap: a cgroup" make_cgroup && swap_tests
	try "no rule is broken" rules_hold
	try "the module unloads" unload
}

run_tests all_tests
