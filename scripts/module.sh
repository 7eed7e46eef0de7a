#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds shadow_rmap.ko for one kernel and prints its path.
#
# Usage: scripts/module.sh um|um-bench|x86_64|x86_64-kasan|x86_64-kasan-recycle [MAKE-ARGUMENT...]
#   KDIR=FOLDER            a kernel's build folder is used as it is; a kernel's source is built first
#   CLIPPY=1               everything is compiled again, by clippy, and nothing is linked
#   SHADOW_RMAP_CASE=FILE  only the crate is compiled, with FILE as one more module
#   SHADOW_RMAP_APART=FILE the same, each function by itself (scripts/same_code.py)
#   SHADOW_RMAP_BUST=TYPE  a deliberately wrong module, see rust/torture/busted.rs
#   SHADOW_RMAP_TESTS=n    without the KUnit suites
#   SHADOW_RMAP_TORTURE=n  without the torture
# SHADOW_RMAP_CASE and _BUST leave out both, which would take most of the time.
# What is built goes to build/<target>; with KDIR to build/<target>-own, whatever target was named;
# that of CLIPPY, _CASE and _BUST to a folder of its own.

source "$(dirname "$0")/lab.sh"

target=${1:-}
case $target in
um | um-bench | x86_64 | x86_64-kasan | x86_64-kasan-recycle) shift ;;
*)
	sed -n '3,16s/^# \{0,1\}//p' "$0"
	[ "$target" = --help ]
	exit
	;;
esac

kernel=
if [ -n "${KDIR:-}" ] && [ -f "$KDIR/include/config/auto.conf" ]; then
	kernel=$(cd "$KDIR" && pwd)
	target=x86_64
	! grep -qx CONFIG_UML=y "$kernel/include/config/auto.conf" || target=um
	grep -qx CONFIG_RUST=y "$kernel/include/config/auto.conf" || die "$KDIR: no CONFIG_RUST=y"
	VARIANT=own
fi
out=$TOP/build/$target${VARIANT:+-$VARIANT}
goal=modules quiet_case= no_tests=
for argument in "$@"; do
	case $argument in
	CLIPPY=?*) out=$TOP/build/$target-clippy goal=rust/shadow_rmap_main.o ;;
	SHADOW_RMAP_CASE=?*)
		out=$TOP/build/$target-case goal=rust/shadow_rmap_main.o quiet_case=1 no_tests=1
		export SHADOW_RMAP_CASE=${argument#*=}
		;;
	SHADOW_RMAP_BUST=?*) out=$TOP/build/$target-${argument#*=} no_tests=1 ;;
	SHADOW_RMAP_APART=?*)
		goal=rust/shadow_rmap_main.o
		export SHADOW_RMAP_CASE=${argument#*=}
		;;
	esac
done

if [ -n "$kernel" ]; then
	[ -f "$CACHE/toolchain.env" ] || "$TOP/scripts/setup.sh"
else
	kernel=$("$TOP/scripts/kernel.sh" "$target")
fi
source "$CACHE/toolchain.env"
[ -z "$no_tests" ] || set -- "$@" SHADOW_RMAP_TORTURE=n SHADOW_RMAP_TESTS=n
# A module is compiled by what its kernel was compiled with.
llvm=()
! grep -qx CONFIG_CC_IS_CLANG=y "$kernel/include/config/auto.conf" ||
	llvm=("LLVM=${LLVM:-$(llvm_suffix "$LIBCLANG_PATH")}")
mkdir -p "$out"

build() {
	# Clippy and the cases leave nothing behind that make could take for done.
	[ "$goal" = modules ] || rm -f "$out/rust/shadow_rmap_main.o"
	make -C "$kernel" ARCH="${target%%-*}" M="$TOP" MO="$out" RUSTC="$RUSTC" BINDGEN="$BINDGEN" \
		"${llvm[@]}" -j "$JOBS" "$@" "$goal"
}

if [ -n "$quiet_case" ]; then
	with_lock "module-${out##*/}" build "$@" >"$out/build.log" 2>&1 || {
		cat "$out/build.log"
		exit 1
	}
	exit 0
fi

with_lock "module-${out##*/}" \
	quietly "building shadow_rmap.ko (${out##*/})" "$out/build.log" build "$@"
# Rust and C are expected to compile without a single warning.
if grep -E '(^|: )warning(:|\[)|error:' "$out/build.log" | grep -v 'the compiler differs' >&2; then
	die "the module does not compile without warnings, see $out/build.log"
fi
echo "$out/${goal/#modules/shadow_rmap.ko}"
