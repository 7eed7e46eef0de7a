#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Prepares Debian's own kernel, unmodified, and prints a build folder of modules for it.
#
# Usage: scripts/debian.sh [--help]
# The packages of Debian's headers lack the metadata of the kernel's Rust code. So this code alone is
# compiled again: from the source package of the same version, with the same configuration and the
# same compilers (scripts/chroot.sh). The result must have the same symbols as the kernel. The newest
# release in the archive is taken, and kept; arch/x86/boot/bzImage in the folder is Debian's image.

source "$(dirname "${BASH_SOURCE[0]}")/lab.sh"
source "$TOP/scripts/choose.sh"

arguments=(ARCH=x86 CC=x86_64-linux-gnu-gcc-14 HOSTCC=gcc-14)

# version PACKAGE: that of the archive, or nothing.
version() { apt-cache "${apt_options[@]}" show "$1" 2>/dev/null | sed -n 's/^Version: //p' | head -n1; }

names() { apt-cache "${apt_options[@]}" search --names-only "$1" | cut -d' ' -f1 | sort -V; }

# choose_release: sets `release`, such as 7.3.4+deb13-amd64, and `wanted`, packages of one version. It is
# the newest release of the first of the lab's versions that the archive has.
choose_release() {
	local base package= other image modules
	for base in $(versions); do
		package=$(names "^linux-headers-${base//./\\.}\.[0-9]+\+deb[0-9]+-amd64\$" | tail -n1)
		[ -z "$package" ] || break
		say "$KERNEL_SUITE has no kernel $base"
	done
	[ -n "$package" ] || die "$KERNEL_SUITE has no kernel $(versions | sed 's/ / or /'); it has" \
		"$(names '^linux-source-[0-9.]+$' | xargs)"
	release=${package#linux-headers-}
	image=linux-binary-$release
	[ -n "$(version "$image")" ] || image=linux-image-$release
	# Some releases have the modules in the package of the image.
	modules=linux-modules-$release
	[ -n "$(version "$modules")" ] || modules=
	wanted=()
	for other in "$package" "linux-headers-${release%-amd64}-common" "$image" ${modules:+"$modules"} \
		"linux-source-$base"; do
		[ "$(version "$other")" = "$(version "$package")" ] ||
			die "$package is version $(version "$package"), but $other is $(version "$other"):" \
				"the archive is being updated; try again later"
		wanted+=("$other=$(version "$other")")
	done
}

# The packages but the source.
fetch_packages() {
	local apt_folder apt_options release wanted
	private_apt "$KERNEL_SUITE"
	choose_release
	rm -rf "$packages"
	mkdir -p "$packages"
	(
		cd "$apt_folder/deb"
		quietly "fetching Debian's kernel $release" "$CACHE/log/debian-fetch.log" \
			apt-get "${apt_options[@]}" download "${wanted[@]::${#wanted[@]}-1}"
		unpack_debs "$packages" ./*.deb
	)
	rm -rf "$apt_folder"
	echo "${wanted[-1]}" >"$packages/source"
	echo "$release" >"$packages/release"
}

# same_source FOLDER: its headers are those of the packages. Prints which are not.
same_source() {
	local common=$packages/usr/src/linux-headers-${release%-amd64}-common part others=""
	for part in include arch/x86/include; do
		others+=$(diff -rq "$common/$part" "$1/$part" | grep -v "^Only in $1") || true
	done
	[ -z "$others" ] || { echo "$others"; return 1; }
}

# find_source: sets `source_dir`, the lab's own source, or where that is of another version the
# archive's.
find_source() {
	local package
	source_dir=$("$TOP/scripts/source.sh")
	same_source "$source_dir" >"$CACHE/log/debian-source.log" && return
	say "$source_dir is not $(cat "$packages/source"):" \
		"$(wc -l <"$CACHE/log/debian-source.log") other files, see $CACHE/log/debian-source.log"
	package=$(cut -d= -f1 "$packages/source")
	source_dir=$place/source
	rm -rf "$source_dir"
	mkdir -p "$source_dir"
	unpack_packages "$KERNEL_SUITE" "$source_dir.deb" "$(cat "$packages/source")"
	quietly "unpacking the kernel source" "$CACHE/log/unpack.log" tar -x \
		-f "$source_dir.deb/usr/src/$package.tar.xz" -C "$source_dir" --strip-components=1
	rm -rf "$source_dir.deb"
	same_source "$source_dir" >&2 || die "$(cat "$packages/source") is not the source of $release"
}

kmake() {
	"$TOP/scripts/chroot.sh" make -C "$source_dir" O="$build" "${arguments[@]}" \
		LOCALVERSION="+${release#*+}" -j "$JOBS" "$@"
}

# Prints the symbols of the kernel's Rust crates that modules may use, and that ours do not have.
missing_rust_symbols() {
	local symbols
	symbols=$(find "$build/rust" -name '*.o' -exec nm --defined-only {} + |
		awk 'NF == 3 { print $3 }' | sort -u)
	awk '$2 ~ /^_R/ && $3 == "vmlinux" { print $2 }' "$headers/Module.symvers" | sort -u |
		comm -23 - <(echo "$symbols")
}

# What the packages say must be what was compiled: otherwise the kernel refuses the modules, or worse.
verify() {
	local changed missing
	changed=$(diff <(grep -v '^#' "$headers/.config") <(grep -v '^#' "$build/.config") |
		grep '^[<>]' | head -n 5) || true
	[ -z "$changed" ] || die "the configuration of $release is not reached with the compilers in $root" \
		"(< Debian's, > here):"$'\n'"$changed"
	[ "$(cat "$build/include/config/kernel.release")" = "$release" ] ||
		die "the source is $(cat "$build/include/config/kernel.release"), the kernel is $release"
	missing=$(missing_rust_symbols)
	[ -z "$missing" ] || die "$(wc -l <<<"$missing") Rust symbols of $release are not among those compiled" \
		"here, so it was built with another compiler, bindgen or option: $(head -n 3 <<<"$missing" | xargs)"
}

# Unpacks zram, a swap space in memory, and the modules that it needs, into $build/swap, numbered in
# the order in which they are to be inserted. The others are removed.
unpack_swap_modules() {
	local insmod file n=0
	mkdir -p "$build/swap"
	depmod -b "$packages/usr" "$release" 2>"$CACHE/log/debian-modules.log"
	while read -r insmod file; do
		[ "$insmod" = insmod ] || continue
		n=$((n + 1))
		xz -dc "$file" >"$build/swap/$n-$(basename "$file" .xz)"
	done < <(modprobe -d "$packages/usr" -S "$release" --show-depends zram)
	[ -f "$build/swap/$n-zram.ko" ] || die "$release has no module zram"
	rm -rf "$packages/usr/lib/modules/$release/kernel"
}

prepare() {
	[ -f "$packages/release" ] || fetch_packages
	release=$(cat "$packages/release")
	headers=$packages/usr/src/linux-headers-$release
	find_source
	rm -rf "$build"
	mkdir -p "$build/arch/x86/boot"
	cp "$headers/.config" "$headers/Module.symvers" "$build"
	quietly "compiling the Rust code of Debian's kernel $release (once; minutes)" \
		"$CACHE/log/kernel-debian.log" kmake olddefconfig modules_prepare
	verify
	cp "$packages/usr/lib/modules/$release/vmlinuz" "$build/arch/x86/boot/bzImage"
	unpack_swap_modules
	touch "$build/.complete"
}

ensure() {
	[ -f "$build/.complete" ] || prepare
	echo "$build"
}

# The tests of this script call its functions one by one.
[ "${BASH_SOURCE[0]}" = "$0" ] || return 0

[ -z "${KDIR:-}${KERNEL_TARBALL:-}" ] ||
	die "VM=debian is Debian's own kernel, which is not built from KDIR or KERNEL_TARBALL"
command -v qemu-system-x86_64 >/dev/null || "$TOP/scripts/setup.sh" --qemu
root=$("$TOP/scripts/chroot.sh")
key=$(echo "$KERNEL_SUITE linux-source-${KERNEL:-${KERNEL_VERSIONS[0]}} zram ${root##*/} ${arguments[*]}" |
	sha256sum | cut -c1-12)
place=$CACHE/debian-$key packages=$CACHE/debian-$key/packages build=$CACHE/debian-$key/build
with_lock debian ensure
