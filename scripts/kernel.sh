#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the kernel of one target and prints its build folder.
#
# Usage: scripts/kernel.sh um|x86_64
#
# The result is cached by source, toolchain and configuration.  KDIR= and KERNEL_TARBALL= choose
# another source, see scripts/source.sh.

source "$(dirname "$0")/lab.sh"

target=${1:-}
case $target in
um) arch=um image=linux ;;
x86_64) arch=x86_64 image=bzImage ;;
*)
	sed -n '3,8s/^# \{0,1\}//p' "$0"
	[ "$target" = --help ]
	exit
	;;
esac

[ -f "$CACHE/toolchain.env" ] || "$TOP/scripts/setup.sh"
source "$CACHE/toolchain.env"
source_dir=$("$TOP/scripts/source.sh")
fragments=("$TOP/.config.fragment" "$TOP/scripts/config/$target.fragment")

key=$(
	{
		echo "$source_dir $target"
		make -s -C "$source_dir" kernelversion
		"$RUSTC" --version
		"$BINDGEN" --version
		gcc --version | head -n1
		cat "${fragments[@]}"
	} | sha256sum | cut -c1-12
)
build=$CACHE/kernel-$target-$key

kmake() {
	make -C "$source_dir" O="$build" ARCH=$arch RUSTC="$RUSTC" BINDGEN="$BINDGEN" -j "$JOBS" "$@"
}

configure() {
	mkdir -p "$build"
	kmake tinyconfig
	"$source_dir/scripts/kconfig/merge_config.sh" -m -O "$build" "$build/.config" "${fragments[@]}"
	kmake olddefconfig
	kmake rustavailable
}

# Kconfig drops what it cannot satisfy without a word.
check_config() {
	local wanted missing=0
	while read -r wanted; do
		case $wanted in
		CONFIG_*=*) grep -qxF "$wanted" "$build/.config" && continue ;;
		"# CONFIG_"*" is not set")
			grep -q "^${wanted:2:-11}=" "$build/.config" || continue
			;;
		*) continue ;;
		esac
		say "not in .config: $wanted"
		missing=1
	done < <(cat "${fragments[@]}")
	[ "$missing" = 0 ] || die "options asked for did not end up in $build/.config"
}

ensure() {
	if [ ! -f "$build/.complete" ]; then
		quietly "configuring the $target kernel" "$CACHE/log/config-$target.log" configure
		check_config
		quietly "building the $target kernel (once; minutes)" "$CACHE/log/kernel-$target.log" \
			kmake $image modules
		touch "$build/.complete"
	fi
	echo "$build"
}

with_lock "kernel-$target" ensure
