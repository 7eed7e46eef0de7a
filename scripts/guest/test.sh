#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: runs the KUnit suites, loads the module, tests it from the outside, and
# unloads it. Prints KTAP; $OUT/test.ktap has all of it, $OUT/kunit/ the results of the suites.
#
# Usage: test.sh [--seeds 'N...'] [--steps N] [--preempt MODE]
#        test.sh --kunit-only [--preempt MODE]
#   --seeds 'N...'   of random sequences of N steps each
#   --preempt MODE   fails unless the kernel is preempted in this mode
#   --kunit-only     the KUnit suites alone
# scripts/test.py starts it, with shadow_rmap.ko, shadow_rmap_kunit.ko, rmapctl, ktap.sh,
# samples/*.scn and samples/bad-input/* in the same folder

seeds='1 2 3' steps=2000 preempt='' kunit_only=''
while [ $# -gt 0 ]; do
	case $1 in
	--seeds) seeds=$2 ;;
	--steps) steps=$2 ;;
	--preempt) preempt=$2 ;;
	--kunit-only)
		kunit_only=1
		shift
		continue
		;;
	*)
		sed -n '4,14s/^# \{0,1\}//p' "$0"
		[ "$1" = --help ]
		exit
		;;
	esac
	shift 2
done

module=shadow_rmap
device=/dev/$module
debugfs=/sys/kernel/debug/$module
here=$PWD
# shellcheck source=scripts/guest/ktap.sh
. ./ktap.sh

# within SECS COMMAND...: waits until the command succeeds.
within() {
	left=$1
	shift
	while [ "$left" -gt 0 ]; do
		if "$@" >/dev/null 2>&1; then return 0; fi
		left=$((left - 1))
		sleep 1
	done
	"$@"
}

# The current mode is in brackets.
preempted_as() {
	cat /sys/kernel/debug/sched/preempt && grep -qF "($1)" /sys/kernel/debug/sched/preempt
}

loaded() { grep -q "^$module " /proc/modules; }

load() { insmod ./$module.ko "$@" && loaded; }

# The suites run while insmod waits. Their progress goes to the console.
run_suites() {
	dmesg -n 8
	insmod ./"$module"_kunit.ko
	rc=$?
	dmesg -n 5
	return $rc
}

kunit_results() {
	mkdir -p "$OUT/kunit"
	for f in /sys/kernel/debug/kunit/"$module"_*/results; do
		[ -e "$f" ] || { echo "no suite $module""_* has run"; return 1; }
		suite=${f%/results}
		cat "$f" >"$OUT/kunit/${suite##*/}.ktap" || return 1
	done
}

# Rules of which no live mapping causes a check: lookups beside an unmap (R2, R10), the end of the cache
# (R7), the spinning lock (R9), merges (R25), moves of PTEs (R36), all locks of a process at once (R38),
# swap (R39).
never_live='R2 R9 R10 R25 R26 R37 R38 R39'

# No check of the engine sees these, see "Rules that no check of the engine sees" in
# Documentation/rules.rst.
unchecked='R4 R7 R8 R30 R34 R35 R36 R40 R41'

# rules_are_checked FOLDER RULE...: each rule that the engine checks, except these, was checked, and none
# was broken.
rules_are_checked() {
	[ "$(grep -c '^R' "$1/rules")" -ge 41 ] || { echo "less than 41 rules"; return 1; }
	names=$(sed -n 's/^\(R[0-9]*\) .*/\1/p' "$1/rules")
	folder=$1 bad=''
	shift
	for rule in $names; do
		case " $unchecked $* " in *" $rule "*) continue ;; esac
		grep -q "^$rule .* checks=[1-9][0-9]* violations=0$" "$folder/rules" || bad="$bad $rule"
	done
	[ -z "$bad" ] || { echo "never checked, or broken:$bad"; return 1; }
	! grep ' violations=[1-9]' "$folder/rules"
}

# A test of the suites breaks each rule that the engine checks, and sees its check fire.
rules_are_broken() {
	rules_are_checked $debugfs/kunit || return 1
	bad=''
	for rule in $(sed -n 's/^rules_not_shown_broken: //p' $debugfs/kunit/stats); do
		case " $unchecked " in *" $rule "*) ;; *) bad="$bad $rule" ;; esac
	done
	[ -z "$bad" ] || { echo "not shown broken:$bad"; return 1; }
	grep '^rules_shown_broken: [1-9]' $debugfs/kunit/stats
}

mode_is() {
	[ -e "$2" ] || { echo "$2: not there"; return 1; }
	mode=$(stat -c %a "$2")
	[ "$mode" = "$1" ] || { echo "$2: mode $mode, not $1"; return 1; }
}

is_node() { [ -c "$device" ] || { echo "$device is not a character device"; return 1; }; }

# A scenario saves files with relative names in its working folder.
scenario() (
	mkdir -p /tmp/work && cd /tmp/work && timeout 1200 "$here/rmapctl" run "$here/$1"
)

# Without a shadow the memory works the same, and there is nothing to check.
plain_scenario() { (cd /tmp && timeout 1200 "$here/rmapctl" run --no-check "$here/$1"); }

nothing_is_shadowed() {
	cat >/tmp/plain.scn <<-END
		map main plain 8
		touch main plain all write
		fork main child
		touch child plain 0..2 write
		check vmas=0 anon_vmas=0 chains=0 pages=0
	END
	timeout 600 ./rmapctl run /tmp/plain.scn
}

readable() { cat "$1" >/dev/null; }

refused() {
	want=$(sed -n 's/^# expected: FILE//p' "$1" | head -n 1)
	[ -n "$want" ] || { echo "$1 names no expected error"; return 1; }
	if timeout 600 ./rmapctl run "$1" >/tmp/refusal 2>&1; then
		echo "$1 was accepted"
		return 1
	fi
	grep -qF -- "$want" /tmp/refusal || { cat /tmp/refusal; echo "expected: $want"; return 1; }
}

# A module in use cannot be unloaded; the mapping works on.
unload_is_refused() {
	cat >/tmp/hold.scn <<-END
		map main held 4
		touch main held all write
		repeat 1000000
		  touch main held all write
		end
	END
	# busybox's timeout becomes the program, so this is the process to end.
	timeout 1200 ./rmapctl run /tmp/hold.scn >/tmp/hold.log 2>&1 &
	holder=$!
	rc=1
	if ! within 120 in_use; then
		cat /tmp/hold.log
		echo "nothing uses the module"
	elif rmmod $module 2>/tmp/rmmod.log; then
		echo "a module with a live mapping was unloaded"
	elif ! loaded; then
		echo "rmmod failed, yet the module is gone"
	elif ! kill -0 $holder; then
		cat /tmp/hold.log
		echo "the process with the mapping died"
	else
		rc=0
	fi
	kill $holder
	wait $holder
	within 120 not_in_use || { echo "still in use after its user has died"; rc=1; }
	return $rc
}

# An open file of debugfs is a use as well: closing it runs code of the module.
open_file_holds() {
	exec 3<$debugfs/stats || return 1
	rc=0
	if rmmod $module 2>/tmp/rmmod.log; then
		echo "a module with an open file was unloaded"
		rc=1
	fi
	exec 3<&-
	within 120 not_in_use || { echo "still in use after the file was closed"; rc=1; }
	return $rc
}

in_use() { [ "$(awk -v m=$module '$1 == m { print $3 }' /proc/modules)" -gt 0 ]; }
not_in_use() { ! in_use; }

unload() { rmmod $module && ! loaded; }

no_slab_folder() { ! ls -d /sys/kernel/slab/$module* 2>/dev/null; }
no_slabinfo() { ! grep "^$module" /proc/slabinfo; }
no_node() { ! ls "$device" 2>/dev/null; }
no_debugfs() { ! ls -d "$debugfs" 2>/dev/null; }
no_thread() { ! cat /proc/[0-9]*/comm 2>/dev/null | grep "^$module"; }

# A cache of type-safe objects may outlive the module by a grace period.
nothing_left() {
	try "$1: no cache in /sys/kernel/slab" within 120 no_slab_folder
	try "$1: no cache in /proc/slabinfo" within 120 no_slabinfo
	try "$1: no device node" within 120 no_node
	try "$1: no debugfs folder" within 120 no_debugfs
	try "$1: no thread" within 120 no_thread
}

slab=/sys/kernel/debug/failslab

# set_slab NAME=VALUE...: configures which allocations fail.
set_slab() {
	for setting; do
		echo "${setting#*=}" >"$slab/${setting%%=*}" || return 1
	done
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

# starve SCENARIO TIMES INTERVAL BYTES...: runs the scenario once for each BYTES; in its processes, after
# so many bytes, each INTERVALth allocation fails, TIMES times or (-1) always. The scenario may fail
# with ENOMEM; with failures outside the module in any way.
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

no_violations() { ! grep 'violations=[1-9]' $debugfs/rules; }

all_freed() {
	awk '/_(allocs|allocated): / { kind = $1; sub(/_alloc.*/, "", kind); made[kind] = $2 }
		/_(frees|freed): / { kind = $1; sub(/_free.*/, "", kind); freed[kind] = $2 }
		END {
			for (kind in made)
				if (made[kind] != freed[kind]) {
					print kind ": " made[kind] " allocated, " freed[kind] " freed"
					bad = 1
				}
			exit bad
		}' $debugfs/stats
}

# Kmemleak allocates as well, and turns itself off for ever when it cannot.
kmemleak_is_on() { ! dmesg | grep 'kmemleak: .*disabled'; }

# A VMA without memory is untracked; all others must be as usual, which is checked after each step, or
# at the end alone, when there is memory again.
starved_scenarios() {
	sed '/^check every/d; /^expect/d; /^save/d; s/^check$/check untracked>=0/' \
		samples/three-generations.scn >/tmp/often.scn
	sed '/^check/d; /^compare/d; /^rules/d; /^show/d; s/^exit child$/check untracked>=0\n&/' \
		/tmp/often.scn >/tmp/late.scn
}

# Allocations fail; only where the kernel can do that.
out_of_memory() {
	try "no memory: failslab is there" set_slab probability=0 task-filter=Y verbose=0 \
		ignore-gfp-wait=N cache-filter=N space=0 || return 1
	act starved_scenarios
	act module_alone
	try "no memory: in the module, once" starve /tmp/often.scn 1 1 $(seq 0 512 8000)
	try "no memory: in the module, once, checked later" starve /tmp/late.scn 1 1 $(seq 0 320 8000)
	try "no memory: in the module, a few times" starve /tmp/late.scn 8 3 $(seq 0 512 4000)
	try "no memory: in the module, always" starve /tmp/late.scn -1 1 $(seq 0 512 4000)
	act anywhere
	try "no memory: anywhere, again and again" starve /tmp/late.scn -1 31 $(seq 0 9973 100000)
	act set_slab task-filter=N
	try "no memory: no rule is broken" no_violations
	try "no memory: everything allocated is freed" all_freed
	try "no memory: kmemleak still works" kmemleak_is_on
	try "no memory: with memory again" scenario samples/three-generations.scn
}

keep_results() { cp $debugfs/rules "$OUT/rules.txt" && cp $debugfs/stats "$OUT/stats.txt"; }

kunit_tests() {
	[ -z "$preempt" ] || try "preempt=$preempt is in force" preempted_as "$preempt"
	try "kunit: the suites run" run_suites || return
	try "kunit: results" kunit_results
	try "kunit: each check of a rule ran, and fires when a test breaks the rule" rules_are_broken
	try "kunit: the module unloads" rmmod "$module"_kunit
}

all_tests() {
	kunit_tests || return
	nothing_left "kunit"
	try "module: loads" load || return
	try "device: is a character device" is_node
	try "device: mode 0600" mode_is 600 $device
	for f in chains chains.json chains.dot compare rules stats; do
		try "debugfs: $f has mode 0400" mode_is 400 $debugfs/$f
		try "debugfs: $f can be read" readable $debugfs/$f
	done
	try "bad input: rmapctl selftest" timeout 600 ./rmapctl selftest
	for f in samples/bad-input/*; do
		[ -f "$f" ] && try "bad input: ${f##*/}" refused "$f"
	done
	for f in samples/*.scn; do
		try "scenario: ${f##*/}" scenario "$f"
	done
	for seed in $seeds; do
		try "random: $steps steps of seed $seed" timeout 3000 \
			./rmapctl random --seed "$seed" --steps "$steps" --check-every 20
	done
	# shellcheck disable=SC2086 # many words
	try "rules: each check ran, no rule is broken" rules_are_checked $debugfs $never_live
	[ "$VM_TARGET" != x86_64 ] || out_of_memory
	try "module: unload is refused while a mapping lives" unload_is_refused
	try "module: unload is refused while a file of debugfs is open" open_file_holds
	act keep_results
	# Without an unload nothing below can pass.
	try "module: unloads" unload || return
	nothing_left "unloaded"

	try "limits: the module loads" load max_vmas=2 max_pages=16 || return
	try "limits: rmapctl selftest --limits" timeout 600 ./rmapctl selftest --limits 2 16
	try "limits: the module unloads" unload || return

	try "no shadow: the module loads" load shadow=0 || return
	try "no shadow: three-generations.scn" plain_scenario samples/three-generations.scn
	try "no shadow: nothing is shadowed" nothing_is_shadowed
	try "no shadow: the module unloads" unload || return

	try "module: loads again" load || return
	try "scenario: after the second load" scenario samples/three-generations.scn
	try "module: unloads again" unload || return
	nothing_left "unloaded again"
}

if [ -n "$kunit_only" ]; then run_tests kunit_tests; else run_tests all_tests; fi
