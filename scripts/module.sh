#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds shadow_rmap.ko for one kernel and prints its path.
#
# Usage: scripts/module.sh um|x86_64 [MAKE-ARGUMENT...]
#   KBUILD_OUTPUT_DIR=FOLDER   the build folder of your own kernel, instead of the lab's
# Everything built goes to build/<target>[-<variant>], VARIANT=name choosing another folder.

source "$(dirname "$0")/lab.sh"

target=${1:-}
case $target in
um | x86_64) shift ;;
*)
	sed -n '3,8s/^# \{0,1\}//p' "$0"
	[ "$target" = --help ]
	exit
	;;
esac

kernel=${KBUILD_OUTPUT_DIR:-$("$TOP/scripts/kernel.sh" "$target")}
source "$CACHE/toolchain.env"
out=$TOP/build/$target${VARIANT:+-$VARIANT}
mkdir -p "$out"

build() {
	make -C "$kernel" ARCH="$target" M="$TOP" MO="$out" RUSTC="$RUSTC" BINDGEN="$BINDGEN" \
		-j "$JOBS" "$@" modules
}

with_lock "module-$target-${VARIANT:-}" \
	quietly "building shadow_rmap.ko ($target${VARIANT:+, $VARIANT})" "$out/build.log" build "$@"
# Rust and C are expected to compile without a single warning.
if grep -E '(^|: )warning(:|\[)|error:' "$out/build.log" | grep -v 'warning: the compiler differs' >&2; then
	die "the module does not compile without warnings, see $out/build.log"
fi
echo "$out/shadow_rmap.ko"
