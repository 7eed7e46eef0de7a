# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# KSM, huge pages, compaction, swap space, and a cgroup: its pages are swapped out and moved between nodes.
# Sourced, never run.

mm=/sys/kernel/mm
cgroup=/sys/fs/cgroup/shadow_rmap

# put VALUE FILE: the file then has the value, in brackets where it is a choice.
put() { echo "$1" >"$2" && must grep -qE "^$1\$|\[$1\]" "$2"; }

ksm() { put 1 $mm/ksm/run && put 1000 $mm/ksm/pages_to_scan && put 20 $mm/ksm/sleep_millisecs; }

huge_pages() { put always $mm/transparent_hugepage/enabled; }

# balance: the kernel takes the access to pages away, a millisecond after a process has started, and moves those
# to which a CPU of another node gets an access fault.
balance() {
	put 1 /proc/sys/kernel/numa_balancing &&
		put 1 /sys/kernel/debug/sched/numa_balancing/scan_delay_ms &&
		put 1 /sys/kernel/debug/sched/numa_balancing/scan_period_min_ms
}

# compact: pages of all processes are moved to other memory, once a second.
compact() { while echo 1 >/proc/sys/vm/compact_memory; do sleep 1; done; }

# can_swap: swap/*.ko are the modules that zram needs, and zram, in order; or the kernel has it.
can_swap() { [ -d swap ] || [ -e /sys/block/zram0 ]; }

swap_on() {
	[ ! -d swap ] || for file in swap/*.ko; do insmod "$file" || return; done
	echo 128M >/sys/block/zram0/disksize && within 10 test -b /dev/zram0 &&
		mkswap /dev/zram0 && swapon /dev/zram0 && must grep -q '^/dev/zram0 ' /proc/swaps
}

make_cgroup() {
	mount -t cgroup2 none "${cgroup%/*}" && echo '+memory +cpuset' >"${cgroup%/*}/cgroup.subtree_control" &&
		mkdir "$cgroup"
}

# in_cgroup COMMAND...: 0 stands for the process that writes.
in_cgroup() (echo 0 >"$cgroup/cgroup.procs" && "$@")

# disturb FILE: until the file is there, what the cgroup has in memory is swapped out, and what it has left
# is moved to the other node.
disturb() {
	node=0
	until [ -e "$1" ]; do
		sleep 0.3
		node=$((1 - node))
		echo $node >"$cgroup/cpuset.mems"
		# It fails if there is less.
		echo 8M >"$cgroup/memory.reclaim"
	done 2>/dev/null
}

# counted NAME: the kernel's counter.
counted() { sed -n "s/^$1 //p" /proc/vmstat; }

migrated() { counted pgmigrate_success; }

# are_enough: so many pages were read in from swap, and have migrated, since the counters were $first_in and
# $first_moved.
are_enough() {
	read_in=$(($(counted pswpin) - first_in)) moved=$(($(migrated) - first_moved))
	echo "pages read in from swap: $read_in, migrated: $moved"
	must test $read_in -gt 100 && must test $moved -gt 100
}

# disturbed COMMAND...: the command in the cgroup, while that is disturbed; again, up to five times, until enough
# pages were read in from swap, and have migrated.
disturbed() {
	rm -f /tmp/disturbed
	disturb /tmp/disturbed &
	disturber=$! first_in=$(counted pswpin) first_moved=$(migrated)
	again 5 are_enough in_cgroup "$@"
	rc=$?
	touch /tmp/disturbed
	wait $disturber
	are_enough && return $rc
}
