#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the modules for one kernel and prints their paths, one a line: shadow_rmap.ko, then
# shadow_rmap_kunit.ko and shadow_rmap_torture.ko if they are named.
#
# Usage: scripts/module.sh um|um-bench|x86_64|x86_64-kasan|x86_64-kasan-recycle|debian
#                          [kunit] [torture] [MAKE-ARGUMENT...]
#   KDIR=FOLDER            a kernel's source tree, or its build folder: the lab's kernel is built from the source
#   KDIR=FOLDER VARIANT=NAME    for the kernel of this build folder itself, which is used as it is
#   CLIPPY=1               all three crates are compiled by clippy, and nothing is linked
#   SHADOW_RMAP_CASE=FILE  only the crate of shadow_rmap.ko is compiled, with FILE as one more module;
#                          CASE_FOLDER=NAME in build/<target>-NAME instead of build/<target>-case
#   SHADOW_RMAP_BUST=1     a deliberately wrong shadow_rmap.ko, see rust/torture/at_load.rs
#   KERNEL=7.3|7.2         the kernel is built from Debian's source of this version
# The modules are built in build/<target>, with KERNEL in build/<target>-$KERNEL; with VARIANT in
# build/<target>-$VARIANT, where the build folder decides on um or x86_64; those of CLIPPY, _CASE and _BUST in
# a folder of their own.

source "$(dirname "$0")/lab.sh"

target=${1:-}
case $target in
um | um-bench | x86_64 | x86_64-kasan | x86_64-kasan-recycle | debian) shift ;;
*) usage 1 ;;
esac

kernel=
if [ "$target" != debian ] && [ -n "${VARIANT:-}" ] && [ -f "${KDIR:-}/include/config/auto.conf" ]; then
	kernel=$(cd "$KDIR" && pwd)
	target=x86_64
	! grep -qx CONFIG_UML=y "$kernel/include/config/auto.conf" || target=um
fi
VARIANT=${VARIANT:-${KERNEL:-}}
out=$TOP/build/$target${VARIANT:+-$VARIANT}
modules=(shadow_rmap) symbols=() goals=() arguments=() quiet_case=
for argument in "$@"; do
	case $argument in
	kunit | torture)
		modules+=("shadow_rmap_$argument") symbols+=("CONFIG_SHADOW_RMAP_${argument^^}_TEST=m")
		continue
		;;
	CLIPPY=?*)
		out=$TOP/build/$target-clippy goals=(rust/shadow_rmap_{main,kunit,torture}.o)
		symbols=(CONFIG_SHADOW_RMAP_{KUNIT,TORTURE}_TEST=m)
		;;
	SHADOW_RMAP_CASE=?*)
		out=$TOP/build/$target-${CASE_FOLDER:-case} goals=(rust/shadow_rmap_main.o) quiet_case=1
		export SHADOW_RMAP_CASE=${argument#*=}
		;;
	SHADOW_RMAP_BUST=?*) out=$TOP/build/$target-busted ;;
	esac
	arguments+=("$argument")
done

toolchain
[ -n "$kernel" ] || kernel=$("$TOP/scripts/kernel.sh" "$target")
# A module is compiled by what its kernel was compiled with.
inside=() compilers=("RUSTC=$RUSTC" "BINDGEN=$BINDGEN") arch=${target%%-*}
if [ "$target" = debian ]; then
	inside=("$TOP/scripts/chroot.sh") compilers=(CC=x86_64-linux-gnu-gcc-14 HOSTCC=gcc-14) arch=x86
	RUSTC=rustc
elif configured CC_IS_CLANG; then
	compilers+=("LLVM=${LLVM:-$(llvm_suffix "$LIBCLANG_PATH")}")
fi
missing=$(lacks "${inside[@]}" "$RUSTC")
untried
[ -z "$missing" ] ||
	die "no module can be built in $kernel, which lacks:"$'\n'"$missing"$'\n'"VM=debian in place of KDIR=" \
		"builds one for Debian's own kernel, see Documentation/on-debian.rst"
case " ${symbols[*]} " in
*KUNIT*) configured KUNIT || die "$kernel: no CONFIG_KUNIT=y, so there are no suites" ;;
esac
mkdir -p "$out"

build() {
	# Clippy and the cases leave nothing behind that make could take for done.
	for goal in "${goals[@]}"; do rm -f "$out/$goal"; done
	"${inside[@]}" make -C "$kernel" ARCH=$arch M="$TOP" MO="$out" "${compilers[@]}" -j "$JOBS" \
		"${symbols[@]}" "${arguments[@]}" "${goals[@]:-modules}"
}

if [ -n "$quiet_case" ]; then
	with_lock "$out" build >"$out/build.log" 2>&1 || {
		cat "$out/build.log"
		exit 1
	}
	exit 0
fi

with_lock "$out" \
	quietly "building ${modules[*]} (${out##*/})" "$out/build.log" build
# Rust and C are expected to compile without a single warning. With the padding of Debian's kernel objtool
# warns of names that it cannot make longer.
if grep -E '(^|: )warning(:|\[)|error:' "$out/build.log" |
	grep -vE "the compiler differs|objtool: .*: symbol name too long, can't create __pfx_ symbol" >&2; then
	# The next build would find them up to date, and print no warning.
	find "$out" -name '*.o' -delete
	die "the module does not compile without warnings, see $out/build.log"
fi
if [ ${#goals[@]} -gt 0 ]; then
	printf "$out/%s\n" "${goals[@]}"
else
	printf "$out/%s.ko\n" "${modules[@]}"
fi
