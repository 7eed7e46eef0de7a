#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds rmapctl, one static program for both guests, and prints its path.
#
# Usage: scripts/rmapctl.sh [--help]

source "$(dirname "$0")/lab.sh"

if [ "${1:-}" = --help ]; then
	sed -n '3,6s/^# \{0,1\}//p' "$0"
	exit 0
fi
[ -f "$CACHE/toolchain.env" ] || "$TOP/scripts/setup.sh"
source "$CACHE/toolchain.env"
export CARGO_TARGET_DIR=$CACHE/rmapctl-target

# The folder's own .cargo/config.toml asks for a static program.
build() { cd "$TOP/tools/rmapctl" && cargo build --release --locked; }

with_lock rmapctl quietly "building rmapctl" "$CACHE/log/rmapctl.log" build
echo "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/rmapctl"
