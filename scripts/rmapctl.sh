#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds rmapctl, one static program for both guests, and prints its path.
#
# Usage: scripts/rmapctl.sh [--help]

source "$(dirname "$0")/lab.sh"

toolchain
export CARGO_TARGET_DIR=$CARGO_FOLDER/rmapctl

# The folder's own .cargo/config.toml asks for a static program. It is copied to where the
# guests look for it.
build() {
	(cd "$TOP/tools/rmapctl" && cargo build --release --locked)
	install -D -t "$TOP/build/bin" "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/rmapctl"
}

with_lock "$CARGO_TARGET_DIR" quietly "building rmapctl" "$CARGO_TARGET_DIR.log" build
echo "$TOP/build/bin/rmapctl"
