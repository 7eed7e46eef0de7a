#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: several tortures one after the other.  What a bug has left behind is not
# taken for the next one's; what was not caught, or not tried, is not ok.  KTAP on the console and in
# $OUT/test.ktap.
#
# Usage: again.sh     scripts/test.py starts it; beside it: shadow_rmap.ko, ktap.sh

case ${1:-} in --help) sed -n '4,8s/^# \{0,1\}//p' "$0"; exit ;; esac
# shellcheck source=scripts/guest/ktap.sh
. ./ktap.sh

torture=/sys/kernel/debug/shadow_rmap/torture

# ends_with VERDICT WORDS: a torture of that plan has this last line.
ends_with() {
	echo "$2" >$torture/control || return
	i=0
	until grep -q '^state: done' $torture/status; do
		i=$((i + 1))
		[ $i -lt 300 ] || { cat $torture/status; return 1; }
		sleep 0.2
	done
	cat $torture/results
	grep -q "^# torture: End of test: $1 " $torture/results || return
	# Nobody was deaf, since the kernel has not complained of anything yet.
	! grep '^# deaf:' $torture/results
}

stays() { ! rmmod shadow_rmap 2>&1; }

try "again: the module loads" insmod ./shadow_rmap.ko || finish
try "again: a bug is caught" ends_with CAUGHT bust=StoresTwice
try "again: the rules are clean after it" ends_with SUCCESS "bust=none ops=5000 secs=30"
try "again: another bug is caught" ends_with CAUGHT bust=LinksUnlocked
try "again: the first is, once more" ends_with CAUGHT "bust=museum:27 protocol=spin"
try "again: the rules are clean after these" ends_with SUCCESS "bust=none ops=5000 secs=30"
try "again: a bug that does no harm is missed" \
	ends_with MISSED "bust=museum:4 protocol=spin ops=2000 secs=30"
try "again: where nothing can be made nothing was tried" \
	ends_with FAILURE "bust=none fail=1 secs=1"
try "again: the module stays" stays
finish
