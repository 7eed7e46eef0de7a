#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest, in a kernel that has shadow_rmap built in, and shadow_rmap_torture as a module of its own
# tree. Prints the result of each test.
#
# Usage: in_tree.sh     scripts/test.py starts it, beside rmapctl, samples/*.scn, shadow_rmap_torture.ko, try.sh

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac
# shellcheck source=scripts/guest/try.sh
. ./try.sh
torture=/sys/kernel/debug/shadow_rmap/torture

built_in() { must test -c /dev/shadow_rmap && ! loaded; }

# A module of another tree taints the kernel.
module_of_the_tree() {
	insmod ./shadow_rmap_torture.ko && must test "$(cat /proc/sys/kernel/tainted)" = 0 &&
		echo "bust=none ops=5000 secs=600" >$torture/control || return
	until grep -q '^state: done' $torture/status; do sleep 0.2; done
	cat $torture/results
	grep -q "^# torture: End of test: SUCCESS " $torture/results && rmmod shadow_rmap_torture
}

all_tests() {
	try "in-tree: the module is built in" built_in || return
	for f in samples/*.scn; do try "in-tree: ${f##*/}" ./rmapctl run --quiet "$f"; done
	try "in-tree: no rule is broken" rules_hold
	try "in-tree: the torture is a module" module_of_the_tree
}

run_tests all_tests
