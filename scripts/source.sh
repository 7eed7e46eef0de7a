#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Prints the folder of the kernel source, fetching and unpacking it first where needed.
#
# Usage: scripts/source.sh [--help]
#   KERNEL=7.3|7.2         take Debian's source package of this version
#   KDIR=FOLDER            use this source tree, or the one of this build folder (nothing is fetched)
#   KERNEL_TARBALL=FILE    unpack this tarball (nothing is fetched)
# Otherwise Debian's source package is taken from the archive that apt is configured with: the first of
# these versions that is there.

source "$(dirname "$0")/lab.sh"
source "$TOP/scripts/choose.sh"

unpack() {
	local tarball=$1 dest=$2
	rm -rf "$dest.part"
	mkdir -p "$dest.part"
	quietly "unpacking the kernel source" "$CACHE/log/unpack.log" \
		tar -x -f "$tarball" -C "$dest.part" --strip-components=1
	[ -f "$dest.part/mm/rmap.c" ] || die "$tarball is not a kernel source"
	mv "$dest.part" "$dest"
}

ensure() {
	if [ -n "${KERNEL_TARBALL:-}" ]; then
		[ -f "$KERNEL_TARBALL" ] || die "KERNEL_TARBALL=$KERNEL_TARBALL: no such file"
		dest=$CACHE/source-$(sha256sum "$KERNEL_TARBALL" | cut -c1-12)
		[ -d "$dest" ] || unpack "$KERNEL_TARBALL" "$dest"
	else
		choose_source
		dest=$CACHE/source-$package
		if [ ! -d "$dest" ]; then
			rm -rf "$dest.deb"
			unpack_packages "$suite" "$dest.deb" "$package"
			unpack "$dest.deb/usr/src/$package.tar.xz" "$dest"
			rm -rf "$dest.deb"
		fi
	fi
	echo "$dest"
}

if [ -n "${KDIR:-}" ]; then
	dest=$KDIR
	[ -f "$dest/mm/rmap.c" ] || dest=$KDIR/source
	[ -f "$dest/mm/rmap.c" ] || die "KDIR=$KDIR is no kernel's source tree, and no build folder that leads to one"
	dest=$(cd "$dest" && pwd -P)
	# The kernel's Makefile would say so as well, in the middle of a log.
	[ ! -e "$dest/.config" ] && [ ! -d "$dest/include/config" ] ||
		die "$dest: built in place, so no other kernel can be built from it; clean it (make mrproper)" \
			"or give a clean copy (git -C $dest worktree add ...)"
	echo "$dest"
else
	with_lock source ensure
fi
