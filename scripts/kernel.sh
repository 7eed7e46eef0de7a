#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the kernel of one target and prints its build folder.
#
# Usage: scripts/kernel.sh um|um-bench|x86_64|x86_64-kasan|x86_64-kasan-recycle|debian
# um-bench is um without the checks of locks and memory, for measuring. x86_64-kasan has KASAN, which
# sees the use of a freed type-safe object, and x86_64-kasan-recycle has KASAN and lets them be
# allocated again within a grace period; both are compiled by clang. debian is Debian's own kernel
# (scripts/debian.sh).
#
# The result is cached by source, toolchain and configuration. KDIR= and KERNEL_TARBALL= choose
# another source, see scripts/source.sh. With KDIR= make runs each time.

source "$(dirname "$0")/lab.sh"

target=${1:-}
case $target in
debian) exec "$TOP/scripts/debian.sh" ;;
um) arch=um parts=(um checks) ;;
um-bench) arch=um parts=(um) ;;
x86_64) arch=x86_64 parts=(x86_64 checks) ;;
x86_64-kasan) arch=x86_64 parts=(x86_64 checks kasan kasan-typesafe) ;;
x86_64-kasan-recycle) arch=x86_64 parts=(x86_64 checks kasan) ;;
*) usage 1 ;;
esac
if [ $arch = um ]; then image=linux; else image=bzImage; fi
toolchain
source_dir=$("$TOP/scripts/source.sh")
version=$(make -s -C "$source_dir" kernelversion)
fragments=("$TOP/.config.fragment")
for part in "${parts[@]}" "$(cut -d. -f1,2 <<<"$version")"; do
	fragment=$TOP/scripts/config/$part.fragment
	# A version has one where its options differ.
	[ ! -f "$fragment" ] || fragments+=("$fragment")
done
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
		echo "$version"
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

# Kconfig drops what it cannot satisfy without a word; merge_config.sh -s fails then.
configure() {
	mkdir -p "$build"
	cd "$source_dir"
	MAKEFLAGS="ARCH=$arch RUSTC=$RUSTC BINDGEN=$BINDGEN ${llvm[*]}" \
		scripts/kconfig/merge_config.sh -n -s -O "$build" "${fragments[@]}"
	kmake rustavailable
}

ensure() {
	if [ ! -f "$build/.complete" ]; then
		quietly "configuring the $target kernel" "$CACHE/log/config-${build##*/kernel-}.log" configure
		quietly "building the $target kernel (once; minutes)" "$CACHE/log/${build##*/}.log" \
			kmake $image modules
		touch "$build/.complete"
	elif [ -n "${KDIR:-}" ]; then
		quietly "bringing the $target kernel up to date" "$CACHE/log/${build##*/}.log" \
			kmake $image modules
	fi
	[ -z "${KDIR:-}" ] ||
		say "kernel of $source_dir: $(git -C "$source_dir" describe --always --dirty 2>/dev/null || echo "no git")"
	echo "$build"
}

with_lock "${build##*/}" ensure
