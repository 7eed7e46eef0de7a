#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: runs the KUnit suites, loads the module, tests it from the outside, and
# unloads it. $OUT/tests.txt has the result of each test, $OUT/kunit/ those of the suites; the rules
# of the suites and of the live mappings are in $OUT/kunit/ and $OUT/live/.
#
# Usage: test.sh [--preempt MODE] [SEED...]     of random sequences; without any, the KUnit suites alone
#   --preempt MODE   fails unless the kernel is preempted in this mode
# scripts/test.py starts it, with shadow_rmap.ko, shadow_rmap_kunit.ko, rmapctl, try.sh, host.sh,
# trace.sh, samples/**/*.scn and lessons.rst in the same folder

preempt=''
case ${1:-} in
--help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;;
--preempt)
	preempt=$2
	shift 2
	;;
esac
seeds=$*

here=$PWD
# shellcheck source=scripts/guest/try.sh
. ./try.sh
device=/dev/$module
debugfs=/sys/kernel/debug/$module
# shellcheck source=scripts/guest/host.sh
. ./host.sh
# shellcheck source=scripts/guest/trace.sh
. ./trace.sh

# The current mode is in brackets.
preempted_as() {
	cat /sys/kernel/debug/sched/preempt && grep -qF "($1)" /sys/kernel/debug/sched/preempt
}

load() { insmod ./$module.ko "$@" && loaded; }

# check_holds MS: one of eight checks of init, which has an anon_vma, holds a root's lock for so long.
check_holds() {
	for _ in 1 2 3 4 5 6 7 8; do echo 1 >$debugfs/host/check || return 1; done
	grep host_ $debugfs/stats
	held=$(sed -n 's/^host_rwsem_us_max: //p' $debugfs/stats)
	[ $((held / 1000)) -ge "$1" ]
}

# The suites run while insmod waits. Their progress goes to the console.
run_suites() {
	dmesg -n 8
	insmod ./"$module"_kunit.ko
	rc=$?
	dmesg -n 5
	return $rc
}

kunit_results() {
	for f in /sys/kernel/debug/kunit/"$module"_*/results; do
		suite=${f%/results}
		cat "$f" >"$OUT/kunit/${suite##*/}.ktap" || return 1
	done
}

# keep_rules FOLDER NAME: copies the rules and counters of debugfs, which scripts/test.py judges.
keep_rules() { mkdir -p "$OUT/$2" && cp "$1/rules" "$1/stats" "$OUT/$2"; }

# A scenario saves files with relative names in its working folder.
scenario() (mkdir -p /tmp/work && cd /tmp/work && timeout 1200 "$here/rmapctl" run "$@")

# lesson SCENARIO: each anon_vma that it draws is on the page, but for the numbers of VMAs.
lesson() {
	scenario "$here/$1" >/tmp/lesson || return 1
	sed 's,/[0-9]*,,g; s/^ *//' lessons.rst >/tmp/page
	grep ' refcount=' /tmp/lesson | sed 's,/[0-9]*,,g; s/^ *//' >/tmp/drawn
	[ -s /tmp/drawn ] || { echo "$1 draws nothing"; return 1; }
	while read -r line; do
		grep -qxF -- "$line" /tmp/page || { echo "not in lessons.rst: $line"; return 1; }
	done </tmp/drawn
}

# skipped MODE SCENARIO: all run in both modes, but for the longest. The emulated machine is slow: one
# mode there, and not a thousand processes or VMAs, which are the same on each machine.
skipped() {
	case $VM_TARGET:$1:$2 in
	um:pinned:fork-depth-6.scn) ;;
	x86_64:mergeable:* | x86_64:*:fork-depth-6.scn | x86_64:*:thousand-splits.scn) ;;
	*) return 1 ;;
	esac
}

nothing_is_shadowed() {
	cat >/tmp/plain.scn <<-END
		map main plain 8
		touch main plain all write
		fork main child
		touch child plain 0..2 write
		check vmas=0 anon_vmas=0 chains=0 pages=0
	END
	scenario /tmp/plain.scn
}

refused() {
	want=$(sed -n 's/^# expected: FILE//p' "$1" | head -n 1)
	[ -n "$want" ] || { echo "$1 names no expected error"; return 1; }
	timeout 600 ./rmapctl run "$1" >/tmp/refusal 2>&1 && { echo "$1 was accepted"; return 1; }
	cat /tmp/refusal
	grep -qF -- "$want" /tmp/refusal || { echo "expected: $want"; return 1; }
}

# KSM merges pages only if it is asked to.
mergeable_is_refused() {
	cat >/tmp/ksm.scn <<-END
		map main buf 4
		refused EINVAL advise main buf all mergeable
	END
	scenario /tmp/ksm.scn
}

# hold: starts two processes with a mapping, and waits until both use it.
hold() {
	must within 120 not_in_use || return
	cat >/tmp/hold.scn <<-END
		map main held 4
		touch main held all write
		fork main forked
		repeat 300000
		  touch main held all write
		end
	END
	# busybox's timeout becomes the program, so this is the process to end.
	timeout 1200 ./rmapctl run /tmp/hold.scn >/tmp/hold.log 2>&1 &
	holder=$!
	must within 120 grep -q ' forked)$' $debugfs/chains
}

# let_go: ends them; their mapping has worked until then.
let_go() {
	must kill -0 $holder
	alive=$?
	kill $holder
	wait $holder
	tail -n 5 /tmp/hold.log
	return $alive
}

# holding COMMAND...: runs a command beside these processes.
holding() {
	hold || return
	must "$@"
	rc=$?
	let_go || rc=1
	must within 120 not_in_use && return $rc
}

# On a terminal of 80x24, where q is typed. Between a name and its pid a frame moves the cursor.
watch_shows_names() {
	(sleep 5; printf q; sleep 1) | timeout 60 script -qec \
		"stty cols 80 rows 24 && ./rmapctl watch" /tmp/screen >/dev/null || return 1
	for process in main forked; do
		must grep -q "$process.[[][0-9;]*Hpid" /tmp/screen || return 1
	done
}

# A run that is ended early has shown nothing.
interrupted_stress() {
	./rmapctl stress --secs 600 >/tmp/stopped 2>&1 &
	stress=$!
	sleep 5
	kill $stress
	wait $stress
	rc=$?
	cat /tmp/stopped
	must test $rc = 1 && must grep -qx 'rmapctl: interrupted' /tmp/stopped && must within 120 not_in_use
}

# An open file of debugfs is a use as well: closing it runs code of the module.
open_file_holds() {
	exec 3<$debugfs/stats || return 1
	must unload_fails
	rc=$?
	exec 3<&-
	must within 120 not_in_use && return $rc
}

# An open file keeps the text that it had when it was opened. The scenario does not inherit it: the
# timer of busybox's timeout lives for a second after the program.
open_file_keeps_its_text() {
	cat $debugfs/stats >/tmp/before && exec 3<$debugfs/stats || return 1
	must scenario --quiet "$here/samples/three-generations.scn" 3<&- &&
		cat $debugfs/stats >/tmp/after && cat <&3 >/tmp/opened
	rc=$?
	exec 3<&-
	[ $rc = 0 ] && must cmp /tmp/before /tmp/opened && ! cmp -s /tmp/opened /tmp/after
}

# All processes exit while their chains are read, a few bytes at a time.
slow_reader() {
	hold && exec 3<$debugfs/chains.json 4<$debugfs/compare || return 1
	let_go && dd bs=64 <&3 >/tmp/slow 2>/dev/null && dd bs=64 <&4 >/tmp/slow_compare 2>/dev/null
	rc=$?
	exec 3<&- 4<&-
	cat /tmp/slow /tmp/slow_compare
	[ $rc = 0 ] && must grep -q '"comm":"forked".*]}$' /tmp/slow &&
		must grep -q '^compare: vmas=2 .* differences=0$' /tmp/slow_compare && must within 120 not_in_use
}

without() { ! grep -s "$@"; }

# A cache of type-safe objects may outlive the module by a grace period.
nothing_left() {
	try "$1: no cache in /sys/kernel/slab" within 120 absent "/sys/kernel/slab/$module*"
	try "$1: no cache in /proc/slabinfo" within 120 without "^$module" /proc/slabinfo
	try "$1: no device node" within 120 absent "$device"
	try "$1: no debugfs folder" within 120 absent "$debugfs"
	try "$1: no thread" within 120 without "^$module" /proc/[0-9]*/comm
}

# Allocations fail only where code of the module is on the stack.
module_alone() {
	set -- "$(awk -v m=$module '$1 == m { print $2, $6 }' /proc/modules)"
	size=${1% *} start=${1#* } alone=1
	set_slab require-start="$start" require-end="$(printf '0x%x' $((start + size)))"
}

anywhere() {
	alone=''
	set_slab require-start=0 require-end=0xffffffffffffffff
}

# starve SCENARIO TIMES INTERVAL BYTES...: runs the scenario once for each BYTES; in its processes,
# after so many bytes, each INTERVALth allocation fails, TIMES times or (-1) always. The scenario
# may fail with ENOMEM; with failures outside the module in any way.
starve() {
	scenario=$1 times=$2 interval=$3 hits=0 limit=60
	# Where another part of the kernel gets no memory a step may never end.
	[ -n "$alone" ] || limit=5
	shift 3
	for bytes; do
		set_slab times="$times" interval="$interval" space="$bytes" probability=100 || return 1
		# Not by `timeout`, which would itself need memory to start.
		(
			cd /tmp
			echo 1 >/proc/self/make-it-fail
			exec "$here/rmapctl" run --quiet --timeout $limit "$scenario"
		) >/tmp/starved 2>&1
		rc=$?
		left=$(cat $slab/times)
		set_slab probability=0 || return 1
		echo "$times times after $bytes bytes: exit status $rc: $(cat /tmp/starved)"
		[ $rc = 0 ] || [ -z "$alone" ] || grep -q ENOMEM /tmp/starved || return 1
		[ $rc = 0 ] && [ "$left" = "$times" ] || hits=$((hits + 1))
		within 120 not_in_use || return 1
	done
	echo "$hits of $# runs were hit"
	[ $hits -gt $(($# / 2)) ]
}

# A file without memory for its text cannot be opened: a reader never gets a part of it.
unreadable() {
	unread=0
	for bytes in $(seq 0 256 16000); do
		set_slab times=1 interval=1 space="$bytes" probability=100 || return 1
		(
			echo 1 >/proc/self/make-it-fail
			exec cat $debugfs/chains.json
		) >/tmp/read 2>/tmp/errors
		rc=$?
		set_slab probability=0 || return 1
		if [ $rc = 0 ]; then
			must grep -q ']}$' /tmp/read || return 1
			continue
		fi
		unread=$((unread + 1))
		must test ! -s /tmp/read && must grep -q 'Cannot allocate memory' /tmp/errors || return 1
	done
	echo "$unread of 63 reads failed"
	[ $unread -gt 0 ]
}

# Kmemleak allocates as well, and turns itself off for ever when it cannot.
kmemleak_is_on() { ! dmesg | grep 'kmemleak: .*disabled'; }

# Allocations fail at random, in the module alone or anywhere. A VMA without memory is untracked; all
# others must be as usual, which is checked after each step, or at the end alone, when there is memory
# again.
starved_at_random() {
	sed '/^check every/d; /^expect/d; /^save/d; s/^check$/check untracked>=0/' \
		samples/three-generations.scn >/tmp/often.scn
	sed '/^check/d; /^compare/d; /^rules/d; /^show/d; s/^exit child$/check untracked>=0\n&/' \
		/tmp/often.scn >/tmp/late.scn
	module_alone
	try "no memory: in the module, once" starve /tmp/often.scn 1 1 $(seq 0 512 8000)
	try "no memory: in the module, once, checked later" starve /tmp/late.scn 1 1 $(seq 0 320 8000)
	try "no memory: in the module, a few times" starve /tmp/late.scn 8 3 $(seq 0 512 4000)
	try "no memory: in the module, always" starve /tmp/late.scn -1 1 $(seq 0 512 4000)
	try "no memory: debugfs files cannot be opened" unreadable
	anywhere
	try "no memory: anywhere, again and again" starve /tmp/late.scn -1 31 $(seq 0 9973 100000)
	try "no memory: kmemleak still works" kmemleak_is_on
}

# Allocations of a process fail: one after the other; and at random, if the kernel can tell from the
# stack which are the module's.
out_of_memory() {
	try "no memory: failslab is there" fail_on_request || return
	for f in samples/failslab/*.scn; do try "no memory: ${f##*/}" scenario "$here/$f"; done
	for f in failing-merge failing-split tracked-again; do
		try "no memory: $f.scn (mergeable)" scenario --mode mergeable "$here/samples/failslab/$f.scn"
	done
	for mode in pinned mergeable; do
		try "no memory: random steps of seed ${seeds##* } ($mode)" timeout 3000 \
			./rmapctl random --mode $mode --seed "${seeds##* }" --steps $((steps / 5)) --check-every 2 --fail
	done
	[ ! -e $slab/require-start ] || starved_at_random
	set_slab task-filter=N
	keep_rules $debugfs starved
	try "no memory: with memory again" scenario "$here/samples/three-generations.scn"
}

kunit_tests() {
	[ -z "$preempt" ] || try "preempt=$preempt is in force" preempted_as "$preempt"
	try "kunit: the suites run" run_suites || return
	try "kunit: rules" keep_rules $debugfs/kunit kunit
	try "kunit: results" kunit_results
	try "kunit: the module unloads" rmmod "$module"_kunit
}

all_tests() {
	kunit_tests || return
	[ -n "$seeds" ] || return
	nothing_left "kunit"
	steps=1000
	[ "$VM_TARGET" != x86_64 ] || steps=500
	try "module: loads" load || return
	try "device: is a character device" test -c $device
	try "device: mode 0600" mode_is 600 $device
	for f in chains chains.json chains.dot compare rules stats; do
		try "debugfs: $f has mode 0400" mode_is 400 $debugfs/$f
		try "debugfs: $f can be read" cat $debugfs/$f
	done
	host_tests 10
	[ "$VM_TARGET" = x86_64 ] || try "host: check of 500 processes" many_processes
	trace_tests
	try "bad input: rmapctl selftest" timeout 600 ./rmapctl selftest
	for f in samples/bad-input/*; do try "bad input: ${f##*/}" refused "$f"; done
	for mode in pinned mergeable; do
		for f in samples/*.scn; do
			skipped $mode "${f##*/}" && continue
			try "scenario: ${f##*/} ($mode)" scenario --mode $mode "$here/$f"
		done
		for seed in $seeds; do
			try "random: steps of seed $seed ($mode)" timeout 3000 \
				./rmapctl random --mode $mode --seed "$seed" --steps "$steps" --check-every 20
		done
		try "random: shifted boundaries of seed ${seeds##* } ($mode)" timeout 3000 \
			./rmapctl random --mode $mode --seed "${seeds##* }" --steps $((steps / 5)) --shifts
	done
	for f in samples/lessons/*.scn; do try "lesson: ${f##*/}" lesson "$f"; done
	[ -d /sys/kernel/mm/ksm ] || try "no KSM: advise mergeable is refused" mergeable_is_refused
	try "stress: 20 s" timeout 600 ./rmapctl stress --secs 20 --seed "${seeds##* }"
	try "stress: 5 s (mergeable)" timeout 600 ./rmapctl stress --secs 5 --mode mergeable --seed "${seeds##* }"
	# Emulated, all memory is not used up in that time.
	[ "$VM_TARGET" != um ] ||
		try "stress: 5 s without memory" timeout 900 ./rmapctl stress --oom --secs 5 --seed "${seeds##* }"
	try "stress: fails if it is interrupted" interrupted_stress
	try "stress: refuses another device" says "not the device" ./rmapctl stress --device /dev/null
	[ ! -d $slab ] || out_of_memory
	try "debugfs: an open file keeps its text" open_file_keeps_its_text
	try "debugfs: a slow reader gets the whole text" slow_reader
	try "module: unload is refused while a mapping lives" holding unload_fails
	# The other guests have no program that makes terminals.
	[ "$VM_TARGET" != um ] || try "watch: shows the processes on a terminal" holding watch_shows_names
	try "module: unload is refused while a file of debugfs is open" open_file_holds
	try "rules: are kept" keep_rules $debugfs live
	# Without an unload nothing below can pass.
	try "module: unloads" unload || return
	nothing_left "unloaded"

	try "limits: the module loads" load max_vmas=2 max_pages=16 host_hold=200 || return
	try "host check: holds the lock for as long as asked" check_holds 200
	try "limits: rmapctl selftest --limits" timeout 600 ./rmapctl selftest --limits 2 16
	try "limits: the module unloads" unload || return

	# Without a shadow the memory works the same, and there is nothing to check.
	try "no shadow: the module loads" load shadow=0 || return
	try "no shadow: three-generations.scn" scenario --no-check "$here/samples/three-generations.scn"
	try "no shadow: nothing is shadowed" nothing_is_shadowed
	try "no shadow: the module unloads" unload || return

	try "module: loads again" load || return
	try "scenario: after the second load" scenario "$here/samples/three-generations.scn"
	try "module: unloads again" unload || return
	nothing_left "unloaded again"
}

run_tests all_tests
