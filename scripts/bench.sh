#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Times the shadow's reverse map beside the host's own mm/rmap.c, in turns in one boot of
# User-Mode Linux without debugging options. Leaves out/bench.json and out/bench.svg.
#
# Usage: scripts/bench.sh [ROUNDS]        default 15, at most 31; the last line is
#                                         `bench: worst ratio R (operation)`

source "$(dirname "$0")/lab.sh"

case ${1:-15} in
*[!0-9]*)
	sed -n '4,8s/^# \{0,1\}//p' "$0"
	[ "$1" = --help ]
	exit
	;;
esac

fail() {
	echo "bench: FAIL $*"
	exit 1
}
trap 'echo "bench: FAIL the set-up, see above"' ERR

"$TOP/scripts/setup.sh"
kernel=$("$TOP/scripts/kernel.sh" um-bench)
module=$("$TOP/scripts/module.sh" um-bench)
trap - ERR
rm -rf "$OUT/bench"
# One CPU: another one's idle loop would compete for the machine's.
"$TOP/scripts/vm.py" --target um --kernel "$kernel" --cpus 1 --time-limit 300 --quiet \
	--file "$module:shadow_rmap.ko" --out "$OUT/bench" \
	-- "$TOP/scripts/guest/bench.sh" "${1:-15}" ||
	fail "the guest: exit status $?, see out/bench/console.log"
python3 "$TOP/scripts/bench.py" "$OUT/bench/bench.jsonl" --json "$OUT/bench.json" \
	--svg "$OUT/bench.svg" --machine "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n1)" || fail "no results"
