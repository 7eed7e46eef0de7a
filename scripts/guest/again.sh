#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: several tortures in one boot. What a bug has left behind must not count
# for the next torture, and a torture that missed its bug, or did nothing, must fail. Prints each
# result.
#
# Usage: again.sh     scripts/test.py starts it, beside shadow_rmap_torture.ko, try.sh and trace.sh

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac
# shellcheck source=scripts/guest/try.sh
. ./try.sh
# shellcheck source=scripts/guest/trace.sh
. ./trace.sh

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

# all_shown EVENT FIELDS...: /tmp/traced is this event alone, and each of the fields is there.
all_shown() {
	event=$1
	shift
	! grep -v "^shadow_rmap_$event: index=[0-9]* [a-z]*=[a-z0-9-]*$" /tmp/traced || return 1
	for fields; do must grep -q " $fields$" /tmp/traced || return 1; done
}

# under_load EVENT FIELDS...: tortures of the correct rules show it. A lookup waits, or comes too late, only
# beside threads that change what it looks up.
under_load() {
	for _ in 1 2 3 4 5 6 7 8; do
		must traced shadow_rmap_torture "$1" one_ends_with SUCCESS "bust=none ops=20000 secs=600" \
			>/tmp/log || { cat /tmp/log; return 1; }
		all_shown "$@" && return
	done
	return 1
}

trace_under_load() {
	try "trace: tracefs" tracefs || return
	try "trace: the events of a torture" all_events shadow_rmap_torture
	try "trace: lookup_found" under_load lookup_found locked=0 locked=1
	try "trace: lookup_stale" under_load lookup_stale \
		seen=unmapped seen=unmapped-when-locked seen=unmapped-when-pinned
	try "trace: lookup_waited" under_load lookup_waited locked=0 locked=1
}

stays() { ! rmmod shadow_rmap_torture 2>&1; }

all_tests() {
	try "again: the module loads" insmod ./shadow_rmap_torture.ko || return
	trace_under_load
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
