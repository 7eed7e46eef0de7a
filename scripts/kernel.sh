#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the kernel of one target and prints its build folder.
#
# Usage: scripts/kernel.sh um|um-bench|x86_64|x86_64-kasan|x86_64-kasan-recycle
#        scripts/kernel.sh --check-config FILE TARGET      is all that the lab asks for in FILE?
# um-bench is um without the checks of locks and memory, for measuring. x86_64-kasan has KASAN, which
# sees the use of a freed type-safe object, and x86_64-kasan-recycle has KASAN and lets them be
# allocated again within a grace period; both are compiled by clang.
#
# The result is cached by source, toolchain and configuration. KDIR= and KERNEL_TARBALL= choose
# another source, see scripts/source.sh. In a kernel of KDIR make looks each time for what has changed.

source "$(dirname "$0")/lab.sh"

if [ "${1:-}" = --check-config ]; then
	[ -f "${2:-}" ] || die "--check-config ${2:-}: no such file"
	check=$2
	shift 2
fi
target=${1:-}
case $target in
um | um-bench) arch=um image=linux ;;
x86_64 | x86_64-kasan | x86_64-kasan-recycle) arch=x86_64 image=bzImage ;;
*)
	sed -n '3,13s/^# \{0,1\}//p' "$0"
	[ "$target" = --help ]
	exit
	;;
esac

fragments=("$TOP/.config.fragment" "$TOP/scripts/config/$arch.fragment")
case $target in
*-*-*) fragments+=("$TOP/scripts/config/${target%-*}.fragment") ;;
esac
[ "$target" = "$arch" ] || fragments+=("$TOP/scripts/config/$target.fragment")

# check_config FILE: Kconfig drops what it cannot satisfy without a word. Of what is asked for
# twice the last counts, as it does for merge_config.sh.
check_config() {
	local wanted missing=0
	declare -A last
	while read -r wanted; do
		case $wanted in
		CONFIG_*=*) last[${wanted%%=*}]=$wanted ;;
		"# CONFIG_"*" is not set") last[${wanted:2:-11}]=$wanted ;;
		esac
	done < <(cat "${fragments[@]}")
	for wanted in "${last[@]}"; do
		case $wanted in
		CONFIG_*) grep -qxF "$wanted" "$1" && continue ;;
		*) grep -q "^${wanted:2:-11}=" "$1" || continue ;;
		esac
		say "not in .config: $wanted"
		missing=1
	done
	[ "$missing" = 0 ] || die "options asked for did not end up in $1"
}

if [ -n "${check:-}" ]; then
	check_config "$check"
	exit
fi

[ -f "$CACHE/toolchain.env" ] || "$TOP/scripts/setup.sh"
source "$CACHE/toolchain.env"
source_dir=$("$TOP/scripts/source.sh")
llvm=()
[ $arch != x86_64 ] || command -v qemu-system-x86_64 >/dev/null || "$TOP/scripts/setup.sh" --qemu
case $target in
*-kasan*)
	llvm=("LLVM=$(llvm_suffix "$LIBCLANG_PATH")")
	command -v "clang${llvm[0]#LLVM=}" "ld.lld${llvm[0]#LLVM=}" "llvm-ar${llvm[0]#LLVM=}" >/dev/null ||
		"$TOP/scripts/setup.sh" --llvm
	;;
esac

key=$(
	{
		echo "$source_dir $target"
		make -s -C "$source_dir" kernelversion
		"$RUSTC" --version
		"$BINDGEN" --version
		if [ ${#llvm[@]} = 0 ]; then gcc --version; else "clang${llvm[0]#LLVM=}" --version; fi | head -n1
		cat "${fragments[@]}"
	} | sha256sum | cut -c1-12
)
build=$CACHE/kernel-$target-$key

kmake() {
	make -C "$source_dir" O="$build" ARCH=$arch RUSTC="$RUSTC" BINDGEN="$BINDGEN" "${llvm[@]}" \
		-j "$JOBS" "$@"
}

configure() {
	mkdir -p "$build"
	kmake tinyconfig
	"$source_dir/scripts/kconfig/merge_config.sh" -m -O "$build" "$build/.config" "${fragments[@]}"
	kmake olddefconfig
	kmake rustavailable
}

ensure() {
	if [ ! -f "$build/.complete" ]; then
		quietly "configuring the $target kernel" "$CACHE/log/config-$target.log" configure
		check_config "$build/.config"
		quietly "building the $target kernel (once; minutes)" "$CACHE/log/kernel-$target.log" \
			kmake $image modules
		touch "$build/.complete"
	elif [ -n "${KDIR:-}" ]; then
		quietly "bringing the $target kernel up to date" "$CACHE/log/kernel-$target.log" \
			kmake $image modules
	fi
	[ -z "${KDIR:-}" ] ||
		say "kernel of $source_dir: $(git -C "$source_dir" describe --always --dirty 2>/dev/null || echo "no git")"
	echo "$build"
}

with_lock "kernel-$target" ensure
