#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Prints the folder of the kernel source, fetching and unpacking it first where needed.
#
# Usage: scripts/source.sh [--help]
#   KDIR=FOLDER            use this source tree (nothing is fetched)
#   KERNEL_TARBALL=FILE    unpack this tarball (nothing is fetched)
# Otherwise Debian's source package is taken from the archive that apt is configured with.

source "$(dirname "$0")/lab.sh"

if [ "${1:-}" = --help ]; then
	sed -n '3,9s/^# \{0,1\}//p' "$0"
	exit 0
fi

unpack() {
	local tarball=$1 dest=$2
	rm -rf "$dest.part"
	mkdir -p "$dest.part"
	quietly "unpacking the kernel source" "$CACHE/log/unpack.log" \
		tar -x -f "$tarball" -C "$dest.part" --strip-components=1
	[ -f "$dest.part/mm/rmap.c" ] || die "$tarball is not a kernel source"
	mv "$dest.part" "$dest"
}

# The address of the archive comes from apt itself; apt gets a private list, state and cache, so
# that the machine's own configuration stays as it was.
fetch_debian() {
	local dest=$1 private=$CACHE/apt uri options
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
		grep '/debian/$' | sort -u | head -n1)
	[ -n "$uri" ] || die "apt has no Debian archive configured; set KERNEL_TARBALL= or KDIR="
	mkdir -p "$private/lists/partial" "$private/cache/archives/partial" "$private/deb"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $KERNEL_SUITE main" \
		>"$private/sources.list"
	options=(
		-o "Dir::Etc::sourcelist=$private/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::Lists=$private/lists" -o "Dir::Cache=$private/cache"
		-o APT::Sandbox::User=root
	)
	quietly "looking for $KERNEL_PACKAGE" "$CACHE/log/apt-kernel.log" \
		apt-get "${options[@]}" update
	(
		cd "$private/deb"
		rm -f -- *.deb
		quietly "fetching $KERNEL_PACKAGE" "$CACHE/log/apt-fetch.log" \
			apt-get "${options[@]}" download "$KERNEL_PACKAGE"
		mkdir -p x
		dpkg-deb --fsys-tarfile "$KERNEL_PACKAGE"_*.deb |
			tar -x -C x "./usr/src/$KERNEL_PACKAGE.tar.xz"
	)
	unpack "$private/deb/x/usr/src/$KERNEL_PACKAGE.tar.xz" "$dest"
	rm -rf "$private"
}

ensure() {
	if [ -n "${KERNEL_TARBALL:-}" ]; then
		[ -f "$KERNEL_TARBALL" ] || die "KERNEL_TARBALL=$KERNEL_TARBALL: no such file"
		dest=$CACHE/source-$(sha256sum "$KERNEL_TARBALL" | cut -c1-12)
		[ -d "$dest" ] || unpack "$KERNEL_TARBALL" "$dest"
	else
		dest=$CACHE/source-$KERNEL_PACKAGE
		[ -d "$dest" ] || fetch_debian "$dest"
	fi
	echo "$dest"
}

if [ -n "${KDIR:-}" ]; then
	[ -f "$KDIR/mm/rmap.c" ] || die "KDIR=$KDIR is not a kernel source tree"
	(cd "$KDIR" && pwd)
else
	with_lock source ensure
fi
