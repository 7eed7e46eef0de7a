#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Sets up what the torture needs, and starts it; the arguments go to scripts/torture.py, which builds
# the kernels and modules that it is about to boot.
#
# Usage: scripts/torture.sh [--soak] [NAME=VALUE...]       scripts/torture.sh --help has them all

source "$(dirname "$0")/lab.sh"

for argument; do
	[ "$argument" != --help ] || exec python3 "$TOP/scripts/torture.py" --help
done
"$TOP/scripts/setup.sh"
exec python3 "$TOP/scripts/torture.py" "$@"
