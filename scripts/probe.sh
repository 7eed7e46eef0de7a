#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Says what a kernel's build folder lacks for modules in Rust, one thing a line. It needs nothing of the
# lab, so it can be run before anything is installed; dkms.conf calls it before each build.
#
# Usage: scripts/probe.sh [FOLDER]    default: KDIR, or /lib/modules/$(uname -r)/build
#   RUSTC=PROGRAM    the compiler that is to build the modules (default: rustc)
# Exit status: 0 if modules can be built, 1 if something is lacking.

set -euo pipefail

case ${1:-} in --help)
	sed -n '4,/^$/s/^# \{0,1\}//p' "$0"
	exit
	;;
esac
source "$(dirname "${BASH_SOURCE[0]}")/build_folder.sh"

kernel=${1:-${KDIR:-/lib/modules/$(uname -r)/build}}
if [ ! -f "$kernel/include/config/auto.conf" ]; then
	echo "error: $kernel: no include/config/auto.conf: this is not the build folder of a kernel" >&2
	exit 1
fi
if ! "${RUSTC:-rustc}" --version 2>/dev/null | grep -q '^rustc [0-9]'; then
	echo "error: ${RUSTC:-rustc}: no Rust compiler (set RUSTC=)" >&2
	exit 1
fi
untried
missing=$(lacks "${RUSTC:-rustc}")
if [ -n "$missing" ]; then
	printf 'error: no module can be built in %s, which lacks:\n%s\n' "$kernel" "$missing" >&2
	exit 1
fi
echo "$kernel: modules can be built"
