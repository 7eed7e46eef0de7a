#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# What the shadow costs a live mapping of 64 written pages, on User-Mode Linux: the module with its
# shadow against the same module loaded with shadow=0, in turns. The test kernel checks its locks
# and memory, so the ratio says more than the nanoseconds.
#
# Usage: scripts/cost.sh [ROUNDS]     default 15, about a minute

source "$(dirname "$0")/lab.sh"

case ${1:-15} in
*[!0-9]*)
	sed -n '4,8s/^# \{0,1\}//p' "$0"
	[ "$1" = --help ]
	exit
	;;
esac

"$TOP/scripts/setup.sh"
module=$("$TOP/scripts/module.sh" um)
rmapctl=$("$TOP/scripts/rmapctl.sh")
rm -rf "$OUT/cost"
"$TOP/scripts/vm.py" --target um --time-limit 300 --cpus 1 \
	--file "$module:shadow_rmap.ko" --file "$rmapctl:rmapctl" --out "$OUT/cost" \
	-- "$TOP/scripts/guest/cost.sh" "${1:-15}" >&2
python3 - "$OUT/cost/cost.txt" <<'END'
import sys
from collections import defaultdict
from statistics import median

figures = defaultdict(list)
with open(sys.argv[1], encoding="utf-8") as file:
    for line in file:
        kind, operation, nanoseconds = line.split()
        figures[operation, kind].append(int(nanoseconds))
names = {"fork-exit": "fork and exit",
         "write-faults": "map, 64 write faults, unmap"}
print(f"{'median of each, in microseconds':34}{'plain':>10}{'shadow':>10}{'ratio':>8}")
for operation, name in names.items():
    plain, shadow = (figures[operation, kind] for kind in ("plain", "shadow"))
    ratio = median(s / p for s, p in zip(shadow, plain))
    print(f"{name:34}{median(plain) / 1000:10.0f}{median(shadow) / 1000:10.0f}{ratio:8.2f}")
print(f"{len(plain)} rounds; the ratio is the median of the rounds' ratios")
END
