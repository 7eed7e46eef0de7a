#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: random steps with a check after each, or a stress, for as long as is asked. In a kernel
# that can swap, KSM, huge pages and compaction are on, and pages are swapped out and moved between two nodes.
#
# Usage: live.sh MODE ARGUMENTS...     of rmapctl: a mode, then its command
# scripts/live.py starts it, beside shadow_rmap.ko, rmapctl, try.sh, memory.sh, and swap/*.ko on Debian's own kernel

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac
mode=$1 command=$2
shift 2
# shellcheck source=scripts/guest/try.sh
. ./try.sh
# shellcheck source=scripts/guest/memory.sh
. ./memory.sh

around=''
if can_swap; then
	swap_on && make_cgroup && ksm && huge_pages && balance || exit
	compact &
	around=disturbed
	# A process may wait for its pages for long.
	[ "$command" != random ] || set -- "$@" --timeout 300
fi
insmod ./shadow_rmap.ko || exit
$around ./rmapctl "$command" --mode "$mode" "$@"
rc=$?
rules_hold && rmmod shadow_rmap && exit $rc
