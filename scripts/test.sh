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
modules=(--busted "um=$("$TOP/scripts/module.sh" um SHADOW_RMAP_BUST=ForgetsRootLink)")
for target in um x86_64; do
	modules+=(--module "$target=$("$TOP/scripts/module.sh" "$target")")
done
exec "$TOP/scripts/test.py" "${modules[@]}" "$@"
