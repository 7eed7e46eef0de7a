#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: loads the KUnit suites once for each check of ./checks, with that check
# left out, and prints which tests failed.
#
# Usage: silence.sh     scripts/silence.py starts it, beside shadow_rmap_kunit.ko and checks

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac

# The lines of the suites are not for the console.
dmesg -n 5
while read -r place number; do
	insmod ./shadow_rmap_kunit.ko silence="$number" || exit
	failed=$(sed -n 's/^    not ok [0-9]* \([a-z0-9_]*\).*/\1/p' \
		/sys/kernel/debug/kunit/shadow_rmap_*/results)
	# shellcheck disable=SC2086 # many words
	echo "silence: $place:" $failed
	rmmod shadow_rmap_kunit || exit
done <checks
