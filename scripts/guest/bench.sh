#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: loads the module with the addresses of the host's functions, which it
# measures beside its own, and writes the results to $OUT/bench.jsonl, one JSON object a line.
#
# Usage: bench.sh ROUNDS     scripts/bench.py starts it; beside it: shadow_rmap.ko

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac

set -- bench_rounds="$1"
for name in folio_lock_anon_vma_read __anon_vma_prepare anon_vma_fork anon_vma_clone \
	unlink_anon_vmas folio_add_new_anon_rmap folio_add_anon_rmap_ptes folio_remove_rmap_ptes \
	folio_move_anon_rmap anon_rmap_tree_iter_first anon_rmap_tree_iter_next; do
	address=$(awk -v name=$name '$3 == name { print $1; exit }' /proc/kallsyms)
	[ -n "$address" ] || { echo "bench: $name is not in /proc/kallsyms"; exit 1; }
	set -- "$@" "bench_${name#__}=0x$address"
done
insmod ./shadow_rmap.ko "$@"
rc=$?
{
	echo "{\"kernel\":\"$(uname -r)\"}"
	dmesg | sed -n 's/^.*shadow_rmap: bench: \({.*}\)$/\1/p'
} >"$OUT/bench.jsonl"
[ $rc -eq 0 ] || dmesg | sed -n 's/^.*shadow_rmap: \(bench: [^{]*\)$/\1/p'
exit $rc
