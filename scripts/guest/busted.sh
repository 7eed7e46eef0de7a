#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: a module whose forks forget the link to the root, and one whose forks reuse
# an anon_vma that is in use. The comparison with the host must report it; with a correct module this
# test fails. Prints each result.
#
# Usage: busted.sh     scripts/test.py starts it, beside shadow_rmap.ko, reuses_busy.ko, rmapctl, try.sh

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac

# shellcheck source=scripts/guest/try.sh
. ./try.sh

cat >/tmp/busted.scn <<END
map main buf 4
touch main buf all write 1
fork main child
touch child buf 0..2 write 2
save compare $OUT/compare.txt
check differences>0 violations>0
END

# `b` has no child when `d` is forked: `c` has reused the anon_vma of `x`. But `b` is alive.
cat >/tmp/reuses.scn <<END
map main buf 4
touch main buf all write 1
fork main x
touch x buf 0..2 write 2
fork x b
touch b buf 0..2 write 3
exit x
fork b c
touch c buf 0..2 write 4
check
fork c d
save compare $OUT/reuses.txt
check differences>0 violations>=0
END

# The child's VMA is not linked to the anon_vma of the pages that it shares with its parent.
link_is_named() {
	cat "$1"
	grep -qE "^vma .* chain: host links 2 anon_vmas, shadow 1: .* is missing" "$1"
}

# Rule and host have chosen differently, which the host did not do because of a race.
choice_is_named() {
	cat "$1"
	grep -qE "^vma .* reuse at fork \(R24\): host none, shadow number [0-9] of the parent" "$1" &&
		grep -q "^compare: .* ambiguous=0 " "$1"
}

all_tests() {
	try "busted: the module loads" insmod ./shadow_rmap.ko || return
	try "busted: a check counts differences and violations" \
		timeout 600 ./rmapctl run /tmp/busted.scn
	try "busted: compare names the missing link" link_is_named "$OUT/compare.txt"
	try "busted: the module unloads" rmmod shadow_rmap
	try "busted: a module that reuses busy anon_vmas loads" insmod ./reuses_busy.ko || return
	try "busted: a check counts differences" timeout 600 ./rmapctl run /tmp/reuses.scn
	try "busted: compare names the choice of the fork" choice_is_named "$OUT/reuses.txt"
	try "busted: that module unloads" rmmod shadow_rmap
}

run_tests all_tests
