#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs what the torture needs, and starts scripts/torture.py, which builds its kernels and modules.
#
# Usage: scripts/torture.sh [--soak] [NAME=VALUE...]       --help explains them

source "$(dirname "$0")/lab.sh"

for argument; do
	[ "$argument" != --help ] || exec python3 "$TOP/scripts/torture.py" --help
done
"$TOP/scripts/setup.sh"
exec python3 "$TOP/scripts/torture.py" "$@"
