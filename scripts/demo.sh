#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# The main job, seen: boots a kernel, loads the module, runs three generations of real
# processes over a live mapping, and shows their chains, the rules, and the comparison with the
# host's own reverse map. Leaves out/chains.svg.
#
# Usage: scripts/demo.sh [um|x86_64|debian]     User-Mode Linux (default), or in QEMU the lab's kernel
# or Debian's own; the last line is `demo: PASS` or `demo: FAIL <why>`

# Whatever ends the script, the last line says why; --help is the only success without `demo: PASS`.
why="the set-up, see above"
trap 'rc=$?; [ $rc = 0 ] || echo "demo: FAIL $why"; exit $rc' EXIT

source "$(dirname "$0")/lab.sh"

fail() {
	why=$*
	exit 1
}
target=${1:-um}
case $target in um | x86_64 | debian) ;; *) fail "no machine $target: there are um, x86_64 and debian" ;; esac

"$TOP/scripts/setup.sh"
module=$("$TOP/scripts/module.sh" "$target")
rmapctl=$("$TOP/scripts/rmapctl.sh")
rm -rf "$OUT/demo"
"$TOP/scripts/vm.py" --target "$target" --time-limit 300 --module "$module" --file "$rmapctl:rmapctl" \
	--file "$TOP/samples/three-generations.scn" --out "$OUT/demo" \
	-- "$TOP/scripts/guest/demo.sh" || fail "the guest: exit status $?"
[ -s "$OUT/demo/chains.dot" ] || fail "there is no picture"
dot -Tsvg "$OUT/demo/chains.dot" -o "$OUT/chains.svg" || fail "dot: exit status $?"
cp "$OUT/demo/chains.json" "$OUT/chains.json" || fail "there is no out/chains.json"
echo "out/chains.svg shows the three generations, out/chains.json says the same."
echo "demo: PASS"
