#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs a command with the compilers of the Debian release that the kernel's packages are made for.
#
# Usage: scripts/chroot.sh [--help] COMMAND [ARGUMENT...]
#        scripts/chroot.sh                  prints the folder of the release, which is unpacked once
# The command sees the release as its root, and this checkout, the cache, /tmp, /dev and /proc at
# their own places; it starts in the current folder. Root rights are not needed where the machine
# allows user namespaces.

source "$(dirname "$0")/lab.sh"

suite=${KERNEL_SUITE%-backports}
# What Debian's kernel is compiled with, and what the kernel's Makefile needs besides. Without dwarves
# BTF falls out of the configuration.
packages=(
	bash bc bindgen binutils bison coreutils cpio dash diffutils dwarves findutils flex gcc-14 grep
	gzip kmod libc6-dev libclang-dev libelf-dev libssl-dev make mawk openssl perl-base python3-minimal
	rust-src rustc sed tar xz-utils
)
root=$CACHE/root-$suite-$(echo "${packages[@]}" | sha256sum | cut -c1-12)

fetch() {
	private_apt "$suite"
	quietly "fetching the compilers of Debian $suite" "$CACHE/log/apt-$suite-fetch.log" \
		apt-get "${apt_options[@]}" -o APT::Keep-Downloaded-Packages=1 -y --no-install-recommends \
		--download-only install "${packages[@]}"
	rm -rf "$root.part"
	quietly "unpacking the compilers of Debian $suite" "$CACHE/log/unpack-$suite.log" \
		unpack_debs "$root.part" "$apt_folder"/cache/archives/*.deb
	# The installation of mawk makes this link, which the kernel's Makefile needs.
	ln -s mawk "$root.part/usr/bin/awk"
	mkdir "$root.part/mnt"
	rm -rf "$apt_folder"
	mv "$root.part" "$root"
}

ensure() { [ -d "$root" ] || fetch; }

# enter COMMAND...: runs in a mount namespace of its own, which ends with the command.
enter() {
	local new=$root/mnt folder
	mount -t tmpfs -o mode=755 tmpfs "$new"
	mkdir "$new"/{usr,etc,proc,dev,tmp}
	for folder in bin lib lib64 sbin; do ln -s "usr/$folder" "$new/$folder"; done
	for folder in usr etc; do mount --bind "$root/$folder" "$new/$folder"; done
	for folder in proc dev; do mount --rbind "/$folder" "$new/$folder"; done
	for folder in /tmp "$TOP" "$CACHE"; do
		mkdir -p "$new$folder" || die "$folder: a folder at this place cannot be seen by the compilers"
		mount --bind "$folder" "$new$folder"
	done
	exec chroot "$new" /usr/bin/env -i PATH=/usr/bin:/usr/sbin HOME=/tmp LC_ALL=C TERM="${TERM:-dumb}" \
		/usr/bin/env -C "$PWD" "$@"
}

if [ -n "${SHADOW_RMAP_ENTER:-}" ]; then enter "$@"; fi

with_lock "root-$suite" ensure
if [ $# = 0 ]; then
	echo "$root"
	exit
fi
mapping=()
[ "$(id -u)" = 0 ] || mapping=(--map-root-user)
unshare --mount "${mapping[@]}" true 2>/dev/null ||
	die "this machine allows no mount namespace (unshare --mount), which building for Debian's kernel needs"
SHADOW_RMAP_ENTER=1 exec unshare --mount "${mapping[@]}" "$0" "$@"
