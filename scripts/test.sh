#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds what the tests need, and runs them; arguments go to scripts/test.py.
#
# Usage: scripts/test.sh [TEST.PY-ARGUMENT...]

source "$(dirname "$0")/lab.sh"

"$TOP/scripts/setup.sh"
source "$CACHE/toolchain.env"
RMAPCTL=$("$TOP/scripts/rmapctl.sh")
export RMAPCTL
# A module is compiled by one thread: two of them at a time.
paths=$(mktemp -d)
trap 'rm -rf "$paths"' EXIT
"$TOP/scripts/module.sh" x86_64 >"$paths/x86_64" &
other=$!
"$TOP/scripts/module.sh" um >"$paths/um"
"$TOP/scripts/module.sh" um SHADOW_RMAP_BUST=ForgetsRootLink >"$paths/busted"
wait "$other"
modules=(--busted "um=$(cat "$paths/busted")")
for target in um x86_64; do
	modules+=(--module "$target=$(cat "$paths/$target")")
done
"$TOP/scripts/test.py" "${modules[@]}" "$@"
