# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# Tests of live mappings while the kernel merges their pages, swaps them out, and moves them between two nodes.
# $seed and $steps are those of the random sequences. Sourced, beside try.sh and memory.sh, never run.

# ksm_and_compare: KSM merges pages of three processes that are alive, and takes a reference on an
# anon_vma for each.
ksm_and_compare() {
	cat >/tmp/family.scn <<-END
		map main buf 64
		touch main buf all write 7
		fork main child
		touch child buf 0..32 write 7
		fork child grand
		touch grand buf 16..48 write 7
		advise main buf all mergeable
		repeat 300000
		  touch main buf 0 read 7
		end
	END
	timeout 600 ./rmapctl run /tmp/family.scn >/tmp/family.log 2>&1 &
	family=$!
	left=120
	until [ "$(cat $mm/ksm/pages_sharing)" -gt 0 ] || [ $left = 0 ]; do
		left=$((left - 1))
		sleep 1
	done
	sharing=$(cat $mm/ksm/pages_sharing)
	cat $debugfs/compare >/tmp/compare
	echo 0 >$debugfs/host/pid && cat $debugfs/host/chains >/tmp/chains
	kill $family
	wait $family
	tail -n 20 /tmp/family.log
	cat /tmp/compare
	must test "$sharing" -gt 0 && must grep -q '^anon_vma .*, [1-9][0-9]* pins$' /tmp/chains &&
		must grep -q "^compare: vmas=3 .* untracked=0 .* violations=0 differences=0$" /tmp/compare
}

# are_balanced: so many pages were moved since the counter was $first.
are_balanced() { must test "$(counted numa_pages_migrated)" -gt $((first + 100)); }

# balance_and_compare: checks of two processes that use their memory all the time, while the kernel moves pages to
# the nodes of the CPUs on which they run.
balance_and_compare() {
	cat >/tmp/balance.scn <<-END
		map main buf 2000
		touch main buf all write
		fork main child
		repeat 40
		  touch main buf all write 3
		  touch child buf all read
		  check
		end
	END
	first=$(counted numa_pages_migrated)
	again 5 are_balanced timeout 600 ./rmapctl run --quiet /tmp/balance.scn
	rc=$?
	echo "pages that NUMA balancing has moved in $rounds rounds: $(($(counted numa_pages_migrated) - first))"
	are_balanced && return $rc
}

# patient COMMAND...: a command of rmapctl. A process may wait for its pages for long.
patient() { timeout 900 ./rmapctl "$@" --quiet --timeout 300; }

# While pages are swapped out and migrate.
swap_tests() {
	for f in samples/swap/*.scn; do try "swap: ${f##*/}" disturbed patient run "$f"; done
	for mode in pinned mergeable; do
		try "swap: random steps of seed $seed ($mode)" disturbed \
			patient random --mode $mode --seed "$seed" --steps "$steps" --check-every 5
	done
}

# KSM and huge pages are on.
moving_tests() {
	try "compare finds no difference where KSM has merged pages" ksm_and_compare
	try "NUMA balancing is on" balance
	try "checks find no difference while NUMA balancing moves pages" balance_and_compare
	try "swap: it is on" swap_on && try "swap: a cgroup" make_cgroup && swap_tests
}
