#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest, in a kernel with lockdep: live mappings while the kernel merges their pages, swaps them
# out, compacts memory and moves pages between two nodes. Prints the result of each test.
#
# Usage: moved.sh SEED STEPS SECS     STEPS of a random sequence, SECS of a stress
# scripts/test.py starts it, beside shadow_rmap.ko, rmapctl, try.sh, memory.sh, moving.sh, samples/swap/*.scn

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac
seed=$1 steps=$2 secs=$3
debugfs=/sys/kernel/debug/shadow_rmap
# shellcheck source=scripts/guest/try.sh
. ./try.sh
# shellcheck source=scripts/guest/memory.sh
. ./memory.sh
# shellcheck source=scripts/guest/moving.sh
. ./moving.sh

all_tests() {
	try "the module loads" insmod ./shadow_rmap.ko && loaded || return
	try "KSM is on" ksm
	try "huge pages are on" huge_pages
	compact &
	compactor=$!
	moving_tests
	for mode in pinned mergeable; do
		try "swap: stress of seed $seed ($mode)" disturbed \
			timeout 900 ./rmapctl stress --mode $mode --seed "$seed" --secs "$secs"
	done
	kill $compactor
	try "no rule is broken" rules_hold
	try "the module unloads" unload
}

run_tests all_tests
