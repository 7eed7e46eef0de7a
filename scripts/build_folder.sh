# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Which kernels our modules are for, and what a build folder must have for them. Sourced, never run.

# The versions of Linux that the modules are built for and tested with, the best one first.
KERNEL_VERSIONS=(7.3 7.2)

# The metadata and procedural macros of the kernel's Rust code that a module is compiled with, in rust/.
METADATA=(lib{core,compiler_builtins,build_error,ffi,pin_init,zerocopy,bindings,uapi,kernel}.rmeta
	lib{macros,pin_init_internal,zerocopy_derive}.so)
# Programs and files by which kbuild makes a module.
KBUILD=(Makefile scripts/{basic/fixdep,mod/modpost,module.lds} include/generated/autoconf.h)
# Files that rustc is given.
RUST=(scripts/target.json include/generated/rustc_cfg)

# configured OPTION: the kernel in `kernel` has it built in.
configured() { grep -qx "CONFIG_$1=y" "$kernel/include/config/auto.conf"; }

# dotted VERSION: 1.85.1 for 108501, as the configuration has it.
dotted() { echo "$(($1 / 100000)).$(($1 / 100 % 1000)).$(($1 % 100))"; }

# release_ge VERSION: the kernel in `kernel` is at least this one.
release_ge() {
	[ "$(printf '%s\n%s\n' "$1" "$(cut -d. -f1,2 "$kernel/include/config/kernel.release")" |
		sort -V | head -n1)" = "$1" ]
}

# untried: says so if the kernel in `kernel` is newer than those that were tested.
untried() {
	local newest=${KERNEL_VERSIONS[0]} release
	release=$(cat "$kernel/include/config/kernel.release" 2>/dev/null) || return 0
	! release_ge "$newest" || [[ $release =~ ^"$newest"([^0-9]|$) ]] ||
		echo "note: the modules were tested with Linux ${KERNEL_VERSIONS[*]}, and this is $release" >&2
}

# lacks RUSTC [ARGUMENT...]: prints what the folder in `kernel` does not have for modules that this
# compiler makes, one thing a line.
lacks() {
	local option file built here oldest=${KERNEL_VERSIONS[-1]}
	if [ ! -s "$kernel/include/config/kernel.release" ]; then
		echo "include/config/kernel.release: the version of the kernel"
	elif ! release_ge "$oldest"; then
		echo "Linux $oldest or later: this is $(cat "$kernel/include/config/kernel.release")"
	fi
	configured X86_64 || echo "CONFIG_X86_64=y: other machines are not supported"
	for option in MODULES RUST DEBUG_FS; do configured $option || echo "CONFIG_$option=y"; done
	for file in "${KBUILD[@]}"; do
		[ -s "$kernel/$file" ] || echo "$file: kbuild makes modules with it"
	done
	[ -s "$kernel/Module.symvers" ] || echo "Module.symvers: a complete build of the kernel (make) writes it"
	configured RUST || return 0
	for file in "${RUST[@]}"; do
		[ -s "$kernel/$file" ] || echo "$file: rustc compiles modules with it"
	done
	for file in "${METADATA[@]}"; do
		[ -s "$kernel/rust/$file" ] || echo "rust/$file: metadata of the kernel's Rust code"
	done
	built=$(sed -n 's/^CONFIG_RUSTC_VERSION=//p' "$kernel/include/config/auto.conf")
	here=$("$@" --version 2>/dev/null | awk '{ split($2, v, /[.-]/); print v[1] * 100000 + v[2] * 100 + v[3] }')
	[ "$built" = "$here" ] ||
		echo "the rustc that is used, $(dotted "${here:-0}"): $(dotted "${built:-0}") compiled the kernel (RUSTC=)"
}
