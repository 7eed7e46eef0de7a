#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: a module whose forks forget the link to the root must be found out, by
# the rules and by the comparison with the host.  With a correct module this fails.
# KTAP on the console and in $OUT/test.ktap.
#
# Usage: busted.sh     scripts/test.py starts it; beside it: shadow_rmap.ko, rmapctl

case ${1:-} in --help) sed -n '4,8s/^# \{0,1\}//p' "$0"; exit ;; esac

number=0 failed=0
: >/tmp/lines

report() { echo "$*" | tee -a /tmp/lines; }

# try NAME COMMAND...: passes when the command does; otherwise what it said is shown.
try() {
	name=$1
	shift
	number=$((number + 1))
	if "$@" >/tmp/said 2>&1 </dev/null; then
		report "ok $number $name"
	else
		failed=$((failed + 1))
		tr '#' '=' </tmp/said | tail -n 20 | while read -r line; do report "# $line"; done
		report "not ok $number $name # $(tail -n 1 /tmp/said | tr -d '#' | cut -c1-150)"
	fi
}

cat >/tmp/busted.scn <<END
map main buf 4
touch main buf all write 1
fork main child
touch child buf 0..2 write 2
save compare $OUT/compare.txt
check differences>0 violations>0
END

# The child's VMA is not linked to the anon_vma of the pages that it shares with its parent.
link_is_named() {
	grep -E "^vma .* chain: host links 2 anon_vmas, shadow 1: .* is missing" "$1" ||
		{ cat "$1"; return 1; }
}

try "busted: the module loads" insmod ./shadow_rmap.ko
try "busted: a check counts differences and violations" timeout 60 ./rmapctl run /tmp/busted.scn
try "busted: compare names the missing link" link_is_named "$OUT/compare.txt"
try "busted: the module unloads" rmmod shadow_rmap
{
	echo "KTAP version 1"
	echo "1..$number"
	cat /tmp/lines
} >"$OUT/test.ktap"
exit $((failed > 0))
