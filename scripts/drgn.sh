#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Prints a kernel's own anon_vma chains, without the module: runs tools/drgn/chains.py with drgn, which
# is put into the cache, and with the types of Debian's kernel or of the build folder in KDIR=.
#
# Usage: scripts/drgn.sh [--help | --prepare] [--core FILE | --qmp SOCKET] [--pid PID] [--json | --folios]
# --prepare prints the Python that has drgn, and the object file with the types, one a line.
# The other options are those of tools/drgn/chains.py, see Documentation/drgn.rst.

source "$(dirname "$0")/lab.sh"

# The first version that reads the memory of a running QEMU.
DRGN=0.3.0

make_venv() {
	[ ! -f "$venv/.complete" ] || return 0
	"$TOP/scripts/setup.sh" --drgn
	rm -rf "$venv"
	quietly "installing drgn $DRGN" "$CACHE/log/drgn.log" \
		sh -c "/usr/bin/python3 -m venv '$venv' && '$venv/bin/pip' install drgn==$DRGN"
	touch "$venv/.complete"
}

# By what the kernel was compiled with.
compile_types() {
	local inside=() arguments=()
	if [ -z "${KDIR:-}" ]; then
		inside=("$TOP/scripts/chroot.sh") arguments=(CC=x86_64-linux-gnu-gcc-14 HOSTCC=gcc-14)
	elif configured CC_IS_CLANG; then
		toolchain
		arguments=("LLVM=${LLVM:-$(llvm_suffix "$LIBCLANG_PATH")}")
	fi
	"${inside[@]}" make -C "$kernel" ARCH=x86 M="$TOP/tools/drgn/types" MO="$out" \
		"${arguments[@]}" types.o
}

venv=$CACHE/drgn-$DRGN
with_lock "$venv" make_venv
kernel=${KDIR:-} out=$TOP/build/drgn-own
if [ -z "$kernel" ]; then
	kernel=$("$TOP/scripts/kernel.sh" debian) out=$TOP/build/drgn-debian
fi
[ -f "$kernel/include/config/auto.conf" ] || die "KDIR=$kernel is not the build folder of a kernel"
kernel=$(cd "$kernel" && pwd)
mkdir -p "$out"
with_lock "$out" quietly "compiling the types of the kernel" "$out/build.log" compile_types
if [ "${1:-}" = --prepare ]; then
	printf '%s\n' "$venv/bin/python" "$out/types.o"
	exit 0
fi
exec "$venv/bin/python" "$TOP/tools/drgn/chains.py" --types "$out/types.o" "$@"
