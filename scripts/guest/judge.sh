#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest, on a kernel that is judged: live mappings by samples, the host's own
# structures, corner cases and random sequences of live mappings. It ends with the first that fails,
# whose output goes to $OUT/said.txt and whose steps go to $OUT/failed.scn; $OUT/tests.txt has the
# results. $OUT/host.txt is what host/check says after a failure.
#
# Usage: judge.sh SEED SECS     random sequences from SEED on, at least one, for SECS seconds
# scripts/judge.py starts it, beside shadow_rmap.ko, rmapctl, try.sh, samples/*.scn and failslab/*.scn

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac
seed=$1 secs=$2 here=$PWD
# shellcheck source=scripts/guest/try.sh
. ./try.sh

# keep STEPS TEST...: a test, and what it leaves when it fails: its output, and STEPS, a command
# that prints the scenario.
keep() {
	steps=$1
	shift
	try "$@" && return
	cp /tmp/said "$OUT/said.txt"
	$steps >"$OUT/failed.scn"
	[ -s "$OUT/failed.scn" ] || rm "$OUT/failed.scn"
	return 1
}

# A scenario saves files with relative names in its working folder.
scenario() (mkdir -p /tmp/work && cd /tmp/work && timeout 600 "$here/rmapctl" run --mode "$1" "$here/$2")

random() { ./rmapctl random --mode "$1" --seed "$seed" --steps 1000 --check-every 10 "$2"; }

# The structures of the host, of processes of three generations that have written to their memory.
host_is_sound() {
	( (sleep 3 & sleep 3; :) & sleep 3; :) &
	sleep 1
	cat /sys/kernel/debug/shadow_rmap/host/check >/tmp/host || return 1
	cat /tmp/host
	wait
	tail -n 1 /tmp/host | grep -q '^host check: mms=[1-9].* violations=0$'
}

# What a check of the host's own structures says, whatever was noticed before: a write fails where it finds
# something.
host_says() {
	( (sleep 3 & sleep 3; :) & sleep 3; :) &
	sleep 1
	# The file that was written to has the answer to that; another one shows what host/pid says.
	exec 3<>/sys/kernel/debug/shadow_rmap/host/check
	echo 0 >&3
	cat <&3
	exec 3<&-
	wait
}

# The anon_vmas that the kernel has in memory. Without the file of its allocator it is not known.
cache=/sys/kernel/slab/anon_vma
anon_vmas() { [ ! -e $cache ] || { echo 1 >$cache/shrink && cat $cache/objects; }; }

# Free objects that the allocator may count as used.
SPARE=128

# freed BEFORE: at most so many more are left than there were before.
freed() {
	now=$(anon_vmas)
	[ -n "$now" ] || return 1
	echo "anon_vmas: $1 before, $now now; $((now - $1)) objects of anon_vma are lost"
	[ $((now - $1)) -le $SPARE ]
}

# Those with a thousand processes or VMAs, which take as long as all that is done before them.
large='fork-depth-6.scn thousand-splits.scn'

# in_mode MODE FILE: the scenario with its mode.
in_mode() {
	grep -q '^mode ' "$2" || echo "mode $1"
	cat "$2"
}

# samples FOLDER/NAME...: each in both modes.
samples() {
	for f; do
		for mode in pinned mergeable; do
			keep "in_mode $mode $f" "${f#samples/} ($mode)" scenario $mode "$f" || return
		done
	done
}

small() { for f in samples/*.scn; do case " $large " in *" ${f#*/} "*) ;; *) echo "$f" ;; esac; done; }

all_tests() {
	# A change without the lock is to fall between two looks of a check of the host's structures.
	keep true "the module loads" insmod ./shadow_rmap.ko host_hold=50 || return
	before=$(anon_vmas)
	# shellcheck disable=SC2046 # names without blanks
	samples $(small) || return
	keep true "the host's own structures" host_is_sound || return
	keep true "corner cases" timeout 600 ./rmapctl selftest || return
	# In these one allocation fails, each in turn. A kernel of KDIR= may have no failslab.
	if [ -d $slab ]; then
		keep true "failslab is there" fail_on_request || return
		samples failslab/*.scn || return
	fi
	end=$(($(date +%s) + secs))
	while :; do
		for mode in pinned mergeable; do
			keep "random $mode --print" "random steps of seed $seed ($mode)" \
				random $mode --quiet || return
		done
		seed=$((seed + 1))
		[ "$(date +%s)" -lt $end ] || break
	done
	for mode in pinned mergeable; do
		keep true "processes at full speed, seed $seed ($mode)" timeout $((secs + 600)) \
			./rmapctl stress --mode $mode --secs "$secs" --seed "$seed" || return
	done
	[ -z "$before" ] || keep true "no anon_vma is lost" freed "$before" || return
	for f in $large; do samples "samples/$f" || return; done
	keep true "the rules of the shadow" rules_hold || return
	keep true "the module unloads" rmmod shadow_rmap
}

judged() {
	all_tests
	[ ! -d /sys/kernel/debug/shadow_rmap ] || host_says >"$OUT/host.txt" 2>&1
}

run_tests judged
