#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the modules for the kernel of KDIR and installs them, by the kernel's own `modules_install`.
# That signs and compresses them as the kernel's configuration says, and runs depmod.
#
# Usage: KDIR=FOLDER scripts/install.sh [kunit] [torture]    default: /lib/modules/$(uname -r)/build
#        scripts/install.sh debian [kunit] [torture]    for Debian's own kernel, by scripts/debian.sh
#   INSTALL_MOD_PATH=FOLDER    below which lib/modules/ is (default: /)
#   INSTALL_MOD_DIR=NAME       in lib/modules/VERSION/ (default: updates)

source "$(dirname "$0")/lab.sh"

if [ "${1:-}" = debian ]; then
	target=debian kernel=$("$TOP/scripts/debian.sh")
	shift
else
	export KDIR=${KDIR:-/lib/modules/$(uname -r)/build} VARIANT=${VARIANT:-own}
	[ -f "$KDIR/include/config/auto.conf" ] || die "$KDIR: this is not the build folder of a kernel"
	target=x86_64 kernel=$(cd "$KDIR" && pwd)
fi
mapfile -t built < <("$TOP/scripts/module.sh" $target "$@")
[ ${#built[@]} -gt 0 ] || die "nothing was built, so nothing is installed"
install=()
for name in INSTALL_MOD_PATH INSTALL_MOD_DIR; do
	[ -z "${!name:-}" ] || install+=("$name=${!name}")
done
make -C "$kernel" M="$TOP" MO="$(dirname "${built[0]}")" "${install[@]}" modules_install
# The kernel's own leaves depmod out where the folder has no System.map, as in packages of headers.
[ -r "$kernel/System.map" ] || PATH=$PATH:/usr/sbin:/sbin depmod -b "${INSTALL_MOD_PATH:-/}" \
	"$(cat "$kernel/include/config/kernel.release")"
