#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: real processes build three generations of one mapping; shows the shadow of
# their reverse map, and compares it with the host's own.
#
# Usage: scripts/vm.py --target um --module FILE.ko --file RMAPCTL:rmapctl
#                      --file samples/three-generations.scn -- scripts/guest/demo.sh
#   demo.sh [SCENARIO]    default three-generations.scn; results go to $OUT

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac

here=$PWD
scenario=${1:-three-generations.scn}
shadow=/sys/kernel/debug/shadow_rmap

echo "Linux $(uname -r) on $(uname -m), $(nproc) CPUs; shadow_rmap is loaded."
echo
# The scenario saves files with relative names in this folder.
cd "$OUT" || exit 1
"$here/rmapctl" run "$here/$scenario" >demo.txt 2>&1
rc=$?

# Shows all headings, and the third section, where three generations are alive. The rules that hold
# are summed up at the end.
awk '/^== / { section++; print; next }
	section == 3 && !/R[0-9]+ .*violations=0/ { print "   " $0 }
	END { if (last != "") print last }
	{ last = $0 }' demo.txt | head -n 34
if [ $rc -ne 0 ]; then
	echo "The scenario failed (exit status $rc):"
	tail -n 20 demo.txt
fi
echo
awk '/ violations=/ {
	for (i = 1; i <= NF; i++) {
		split($i, kv, "=")
		if (kv[1] == "checks") { checks += kv[2]; rules += kv[2] > 0 }
		if (kv[1] == "violations") { violations += kv[2]; if (kv[2] > 0) print "broken: " $0 }
	}
} END {
	printf "%d rules were checked %d times and broken %d times.\n", rules, checks, violations
	exit rules == 0 || violations > 0
}' $shadow/rules || rc=1
echo "The whole output is in demo.txt, the graph in chains.dot and chains.json."
exit $rc
