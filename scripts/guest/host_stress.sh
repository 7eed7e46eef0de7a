#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: the host's own structures of all processes are checked again and again while stress-ng
# forks, maps, moves and unmaps memory. Prints the longest time for which a check held a lock that a task may need.
#
# Usage: host_stress.sh SECS [LONGEST]     fails if a task has waited for a check for more than LONGEST us
# scripts/live.py and scripts/test.py start it, beside shadow_rmap.ko, try.sh and stress-ng/*

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac
secs=$1 longest=${2:-} host=/sys/kernel/debug/shadow_rmap/host
# shellcheck source=scripts/guest/try.sh
. ./try.sh

summary() {
	echo "host: $(($(cut -d . -f 1 /proc/uptime) - begin)) s, checks=$checks" "$(sed 's/^host check: //' /tmp/last)" \
		"$(sed -n 's/^host_\(left_out\|.*_us_max\): /\1=/p' ${host%/*}/stats | tr '\n' ' ')"
}

insmod ./shadow_rmap.ko || exit
# It has no libraries here but those beside it.
./stress-ng/ld-linux-x86-64.so.2 --library-path ./stress-ng ./stress-ng/stress-ng --fork 1 --vm 1 --vm-bytes 16m \
	--mmapfork 1 --mremap 1 --mremap-bytes 4m --mmapmany 1 --timeout "$secs" --temp-path /tmp >/tmp/said 2>&1 &
load=$!
checks=0 next=0 rc=0 begin=$(cut -d . -f 1 /proc/uptime)
while kill -0 $load 2>/dev/null; do
	if ! cat $host/check >/tmp/check; then
		rc=1
		break
	fi
	checks=$((checks + 1))
	tail -n 1 /tmp/check >/tmp/last
	if ! grep -q '^host check: mms=.* violations=0$' /tmp/last; then
		head -n 40 /tmp/check
		cat /tmp/last
		rc=1
		break
	fi
	now=$(cut -d . -f 1 /proc/uptime)
	if [ "$now" -ge $next ]; then
		summary
		next=$((now + 5))
	fi
done
[ $rc = 0 ] || kill $load
wait $load || rc=1
tail -n 5 /tmp/said
summary
[ $checks -gt 0 ] || rc=1
waited=$(sed -n 's/^host_waited_us_max: //p' ${host%/*}/stats)
if [ -n "$longest" ] && [ "$waited" -gt "$longest" ]; then
	echo "a task has waited for a check for $waited us"
	rc=1
fi
rules_hold && rmmod shadow_rmap || rc=1
if [ $rc = 0 ]; then
	report "ok: the host's own structures while stress-ng runs"
else
	report "not ok: the host's own structures while stress-ng runs: exit status $rc: see above"
fi
report "tests: done"
exit $rc
