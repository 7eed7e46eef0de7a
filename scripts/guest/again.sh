#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: several tortures in one boot. What a bug has left behind must not count
# for the next torture, and a torture that missed its bug, or did nothing, must fail. Prints each
# result.
#
# Usage: again.sh     scripts/test.py starts it, beside shadow_rmap_torture.ko and try.sh

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac
# shellcheck source=scripts/guest/try.sh
. ./try.sh

torture=/sys/kernel/debug/shadow_rmap/torture

# ends_with VERDICT LINE: a torture of that LINE has this result. It is repeated with other seeds,
# as a bug may be missed by chance.
ends_with() {
	for _ in 1 2 3 4 5; do one_ends_with "$@" && return; done
	return 1
}

one_ends_with() {
	echo "$2" >$torture/control || return
	until grep -q '^state: done' $torture/status; do sleep 0.2; done
	cat $torture/results
	grep -q "^# torture: End of test: $1 " $torture/results || return
	# The kernel has not reported anything yet, so no oracle is disabled.
	! grep -E '^# (deaf|disabled):' $torture/results
}

stays() { ! rmmod shadow_rmap_torture 2>&1; }

all_tests() {
	try "again: the module loads" insmod ./shadow_rmap_torture.ko || return
	try "again: a bug is caught" ends_with CAUGHT "bust=StoresTwice ops=200000 secs=600"
	try "again: the rules are clean after it" one_ends_with SUCCESS "bust=none ops=5000 secs=600"
	try "again: another bug is caught" ends_with CAUGHT "bust=LinksUnlocked ops=200000 secs=600"
	try "again: the first is, once more" \
		ends_with CAUGHT "bust=museum:27 protocol=spin ops=200000 secs=600"
	try "again: the rules are clean after these" one_ends_with SUCCESS "bust=none ops=5000 secs=600"
	try "again: a harmless bug is missed" \
		one_ends_with MISSED "bust=museum:4 protocol=spin ops=2000 secs=600"
	try "again: a torture without memory has failed" \
		one_ends_with FAILURE "bust=none fail=1 secs=1"
	try "again: the module stays" stays
}

run_tests all_tests
