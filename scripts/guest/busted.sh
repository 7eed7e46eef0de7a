#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: a module with one deliberate bug at a time (rust/torture/at_load.rs). The
# comparison with the host must report each in words; with a correct module this test fails. Prints
# each result.
#
# Usage: busted.sh     scripts/test.py starts it, beside shadow_rmap.ko, rmapctl, try.sh

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac

debugfs=/sys/kernel/debug/shadow_rmap
# shellcheck source=scripts/guest/try.sh
. ./try.sh

family='map main buf 4
touch main buf all write
fork main child
touch child buf 0..2 write'

# The last chain has three links: the parent of its anon_vma is not its root.
three_generations="$family
fork child last
touch last buf 0 write"

# When `d` is forked, `b` has no child, because `c` has reused the anon_vma of `x`. But `b` is alive.
busy='map main buf 4
touch main buf all write
fork main x
touch x buf 0..2 write
fork x b
touch b buf 0..2 write
exit x
fork b c
touch c buf 0..2 write
check
fork c d'

# `x` exits, so that its anon_vma can be reused when `b` is forked.
idle='map main buf 4
touch main buf all write
fork main x
touch x buf 0..2 write
fork x b
touch b buf 0..2 write
exit x
fork b c
touch c buf 0..2 write'

# As `idle`, with two VMAs: each is forked by itself.
idle_twice='map main buf 4
touch main buf all write
protect main buf 2..4 r
fork main x
fork x b
exit x
fork b c'

# The child's second half is unfaulted, and beside it is a VMA with two links.
neighbours='map main buf 4
protect main buf 2..4 r
touch main buf 0..2 write
fork main child
protect child buf 2..4 rw
touch child buf 2..4 write'

split='map main buf 6
touch main buf all write
fork main child
touch child buf 0..4 write
unmap child buf 2..3'

split_off='map main buf 6
touch main buf all write
protect main buf 2..6 r'

unfaulted='mode mergeable
map main buf 4
fork main child
touch child buf all write'

moved='map main buf 4
touch main buf all write
move main buf all as moved keep
touch main buf all write'

# Copies of VMAs outlive what they were copied from, are faulted, and are copied again.
copies='map main buf 8
touch main buf all write
unmap main buf 2..3
touch main buf 0..2 write
dontneed main buf 3..8
touch main buf 3..8 write
unmap main buf 0..2
fork main child
touch child buf 3..8 write
fork child last
dontneed last buf 3..8
touch last buf 3..8 write
protect child buf 4..5 r
unmap last buf 3..8
exit main'

# Halves of a split become one again.
merged='mode mergeable
map main buf 4
touch main buf all write
protect main buf 1 r
check violations>=0
protect main buf 1 rw'

# The lower half has no anon_vma, and becomes one with the upper half. The child keeps the anon_vma.
inherited='mode mergeable
map main buf 4
protect main buf 0..2 r
touch main buf 2..4 write
fork main child
check violations>=0
protect main buf 2..4 r'

# run SCENARIO BUG: keeps the comparison in $OUT/BUG.txt. A check that follows a bug may find rules
# broken as well.
run() {
	echo "$2" >$debugfs/bust &&
		printf '%s\nsave compare %s\ncheck differences>=0 violations>=0\n' "$1" "$OUT/$2.txt" \
			>/tmp/busted.scn && timeout 600 ./rmapctl run /tmp/busted.scn
}

named() {
	cat "$1" && ! grep -q ' differences=0$' "$1" || return 1
	file=$1
	shift
	for words; do must grep -qE -- "$words" "$file" || return 1; done
}

# bug NAME SCENARIO WORDS...: the comparison reports the bug in these words.
bug() {
	try "$1: the module loads" insmod ./shadow_rmap.ko || return
	try "$1: the scenario runs" run "$2" "$1"
	bug=$1
	shift 2
	try "$bug: compare names it" named "$OUT/$bug.txt" "$@"
	try "$bug: the module unloads" rmmod shadow_rmap
}

# A shadow is never built by two kinds of steps.
refused_while_open() {
	insmod ./shadow_rmap.ko && exec 4<>/dev/shadow_rmap || return 1
	echo NeverReuses >$debugfs/bust && return 1
	exec 4<&-
	must rmmod shadow_rmap
}

# Without a bug the same module agrees with the host.
correct() {
	insmod ./shadow_rmap.ko || return 1
	for scenario in "$three_generations" "$busy" "$idle" "$neighbours" "$split" "$split_off" "$unfaulted" "$moved" \
		"$copies" "$merged" "$inherited" "$idle_twice"; do
		printf '%s\ncheck\n' "$scenario" >/tmp/correct.scn
		must timeout 600 ./rmapctl run /tmp/correct.scn || return 1
	done
	echo NoSuchBug >$debugfs/bust && return 1
	rmmod shadow_rmap
}

# A check has the violations that it finds and those since the check before; `stats` has all.
own_violations() {
	printf '%s\n%s\n' "$family" 'check violations>0 differences>0
exit child
check violations>=0 differences>=0
check' >/tmp/own.scn
	echo 'map main buf 4
touch main buf all write
check' >/tmp/none.scn
	insmod ./shadow_rmap.ko && echo ForgetsRootLink >$debugfs/bust || return 1
	must timeout 600 ./rmapctl run /tmp/own.scn && must timeout 600 ./rmapctl run /tmp/none.scn &&
		must grep '^violations: [1-9]' $debugfs/stats &&
		must grep '^verifier_violations_R23: [1-9]' $debugfs/stats && dmesg >/tmp/logged &&
		must grep 'check: violation of R23: .*anon_vma [0-9]' /tmp/logged &&
		must grep 'check: vma [0-9].* chain: host links' /tmp/logged &&
		must grep '^compare: .* violations=0 differences=0' $debugfs/compare
	rc=$?
	rmmod shadow_rmap && return $rc
}

# The pages of this shell seem to lead to anon_vmas that its VMAs do not have.
host_check_names_lone_pages() {
	insmod ./shadow_rmap.ko || return 1
	echo $$ >$debugfs/host/pid && cat $debugfs/host/check >/tmp/right &&
		echo HostHidesAnonVmas >$debugfs/bust && cat $debugfs/host/check >/tmp/lone
	cat /tmp/right /tmp/lone
	must grep -q '^host check: mms=1 .* violations=0$' /tmp/right &&
		must grep -q '^violation of R21: .*: the page at 0x[0-9a-f]* is anonymous, but there is no anon_vma$' \
			/tmp/lone
	rc=$?
	rmmod shadow_rmap && return $rc
}

# Pages were moved to a VMA, and no VMA has been closed since: a file that is closed leaves nothing.
moves_unclosed() {
	printf 'map main buf 4\ntouch main buf all write\nmove main buf all as moved\n' >/tmp/moves.scn
	insmod ./shadow_rmap.ko && echo HostForgetsClose >$debugfs/bust || return 1
	must timeout 600 ./rmapctl run --no-check /tmp/moves.scn
	rc=$?
	rmmod shadow_rmap && [ $rc = 0 ] && must within 120 absent '/sys/kernel/slab/shadow_rmap*'
}

# Where a new page leads is the shadow's own decision, as long as there is no swap space.
silent_without_marks() {
	printf '%s\ncheck\n' "$family" >/tmp/marks.scn
	insmod ./shadow_rmap.ko && echo HostHidesMarks >$debugfs/bust || return 1
	must timeout 600 ./rmapctl run /tmp/marks.scn
	rc=$?
	rmmod shadow_rmap && return $rc
}

# A stress run ends at the first check or comparison that finds something, and shows what ran before.
stress_stops() {
	begin=$(date +%s)
	insmod ./shadow_rmap.ko && echo "$1" >$debugfs/bust || return 1
	timeout 600 ./rmapctl stress --secs 300 --seed 1 >/tmp/stress 2>&1 && return 1
	rmmod shadow_rmap || return 1
	head -n 3 /tmp/stress
	[ $(($(date +%s) - begin)) -lt 250 ] &&
		must grep -q "^the last operations:" /tmp/stress &&
		must grep -q "^  pid [0-9]*: [a-z]* [0-9]*\.\.[0-9]*" /tmp/stress &&
		must grep -E "^stress: FAILED: .*check: .* (violations|differences)=[1-9]" /tmp/stress
}

all_tests() {
	try "no bug: compare is silent" correct
	try "a bug is refused while the device is open" refused_while_open
	bug ForgetsRootLink "$family" '^vma .* chain: host links 2 anon_vmas, shadow 1: .* is missing' \
		'^anon_vma .* tree: host 2 VMAs, shadow 1' '^page .* found by a walk: host 2 VMAs, shadow 1'
	try "a check has its own violations" own_violations
	try "a stress run stops at a difference or a violation" stress_stops ForgetsRootLink
	bug NeverReuses "$idle" '^vma .* reuse at fork \(R24\): host number [0-9] .*, shadow none'
	bug NeverReuses "$idle_twice" '^vma .* reuse at fork \(R24\): host number [0-9] .*, shadow none' \
		'^compare: .* ambiguous=0 .* differences='
	bug NeverReuses "$idle
exit c" '^host: 1 VMAs are gone that it had forked or merged against the rules \(R24, R26\)$'
	bug ReusesBusy "$busy" '^vma .* reuse at fork \(R24\): host none, shadow number [0-9] of the parent'
	bug SharesWithParent "$family" '^vma .* anon_vma: should be'
	bug LetsRootGo "$family" '^anon_vma .* refcount: host 2, shadow 1'
	bug NamesTheRoot "$three_generations" \
		"anon_vma 3 .child of 2. is missing, the shadow's anon_vma 3 .child of 1. is one too many" \
		'^anon_vma .* num_children: host'
	bug CountsNoCopy "$split" '^anon_vma .* num_active_vmas: host'
	bug CountsNoUnmap "$family" '^page .* mapcount: host 1, shadow 2'
	bug LeadsToTheRoot "$family" '^page .* anon_vma: should be anon_vma'
	bug SharesForked "$neighbours" '^vma .* anon_vma: should be'
	bug KeepsAnonVma "$moved" '^vma .* anon_vma: should be'
	bug HostForgetsOpen "$copies" '^host: [0-9]+ calls for VMAs that it has copied without calling open$'
	bug HostForgetsOpen "$split_off" '^unknown vma 0 .*: only the host has it$'
	bug HostForgetsOpen "$unfaulted" '^host: [0-9]+ calls for VMAs that it has copied without calling open$'
	bug HostForgetsClose "$copies" '^host: [0-9]+ VMAs that it has removed without calling close$' \
		'^vma .*: only the shadow has it$'
	try "pages are moved, and no VMA is closed: nothing is left" moves_unclosed
	bug HostMisplacesPages "$family" '^page .* index: host [0-9]+, shadow [0-9]+'
	try "HostHidesMarks: compare is silent" silent_without_marks
	try "HostHidesAnonVmas: host/check names the pages" host_check_names_lone_pages
	bug HostNamesTheParent "$three_generations" '^anon_vma .* root: should be anon_vma 2 .*, is anon_vma 1'
	bug HostForgetsTheLast "$family" '^anon_vma .* misplaced tree entries: host [1-9][0-9]*, shadow 0'
	bug KeepsThePlace "$split_off" '^vma .* range: host .*, shadow .*; pgoff: host [0-9]+, shadow [0-9]+'
	bug MergesNothing "$merged" '^vma .* merge \(R26\): the host has merged vma [0-9]+ into it'
	bug InheritsNothing "$inherited" '^vma .* chain: host links 2 anon_vmas, shadow 2: .* is missing'
}

run_tests all_tests
