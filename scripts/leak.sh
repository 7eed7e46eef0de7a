#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the kernel's own module that leaks memory, samples/kmemleak, for a kernel of the lab, and prints its
# path. A run of scripts/vm.py --kmemleak that loads it must fail.
#
# Usage: scripts/leak.sh x86_64    one of the kernels of scripts/kernel.sh

source "$(dirname "$0")/lab.sh"

target=${1:-}
[ $# = 1 ] || usage 1
toolchain
kernel=$("$TOP/scripts/kernel.sh" "$target")
configured DEBUG_KMEMLEAK || die "$kernel: no CONFIG_DEBUG_KMEMLEAK=y, so nothing looks for leaks"
out=$TOP/build/$target-leak
compilers=()
! configured CC_IS_CLANG || compilers=("LLVM=$(llvm_suffix "$LIBCLANG_PATH")")
mkdir -p "$out"
with_lock "$out" quietly "building a module that leaks memory ($target)" "$out/build.log" \
	make -C "$kernel" ARCH="${target%%-*}" M="$("$TOP/scripts/source.sh")/samples/kmemleak" MO="$out" \
	"${compilers[@]}" CONFIG_SAMPLE_KMEMLEAK=m modules
echo "$out/kmemleak-test.ko"
