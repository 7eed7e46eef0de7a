#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: measures a mapping with its shadow and without, in turns. Each line of
# $OUT/cost.txt is `shadow|plain OPERATION NANOSECONDS`.
#
# Usage: cost.sh ROUNDS     scripts/cost.sh starts it; beside it: shadow_rmap.ko, rmapctl

case ${1:-} in --help) sed -n '4,7s/^# \{0,1\}//p' "$0"; exit ;; esac

set -e
round=0
while [ $round -lt "$1" ]; do
	for kind in shadow plain; do
		if [ $kind = shadow ]; then shadow=1; else shadow=0; fi
		insmod ./shadow_rmap.ko shadow=$shadow
		./rmapctl cost | sed "s/^/$kind /" >>"$OUT/cost.txt"
		rmmod shadow_rmap
	done
	round=$((round + 1))
	echo "round $round of $1"
done
