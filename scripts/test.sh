#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds what the tests need, and runs them; arguments go to scripts/test.py.
#
# Usage: scripts/test.sh [TEST.PY-ARGUMENT...]

source "$(dirname "$0")/lab.sh"

for argument; do
	[ "$argument" != --help ] || exec python3 "$TOP/scripts/test.py" --help
done
"$TOP/scripts/setup.sh"
source "$CACHE/toolchain.env"
RMAPCTL=$("$TOP/scripts/rmapctl.sh")
export RMAPCTL
# A module is compiled by one thread: two of them at a time.
paths=$(mktemp -d)
trap 'rm -rf "$paths"' EXIT
"$TOP/scripts/module.sh" x86_64 kunit >"$paths/x86_64" &
other=$!
"$TOP/scripts/module.sh" um kunit torture >"$paths/um"
"$TOP/scripts/module.sh" um SHADOW_RMAP_BUST=ForgetsRootLink >"$paths/busted"
"$TOP/scripts/module.sh" um SHADOW_RMAP_BUST=ReusesBusy >"$paths/reuses_busy"
wait "$other"
modules=(--busted "um=$(head -n 1 "$paths/busted")"
	--busted "um-ReusesBusy=$(head -n 1 "$paths/reuses_busy")")
for target in um x86_64; do
	while read -r module; do modules+=(--module "$target=$module"); done <"$paths/$target"
done
"$TOP/scripts/test.py" "${modules[@]}" "$@"
