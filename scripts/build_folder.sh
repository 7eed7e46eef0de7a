# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What a kernel's build folder must have for our modules. Sourced, never run.

# configured OPTION: the kernel in `kernel` has it built in.
configured() { grep -qx "CONFIG_$1=y" "$kernel/include/config/auto.conf"; }

# dotted VERSION: 1.85.1 for 108501, as the configuration has it.
dotted() { echo "$(($1 / 100000)).$(($1 / 100 % 1000)).$(($1 % 100))"; }

# lacks RUSTC [ARGUMENT...]: prints what the folder in `kernel` does not have for modules that this
# compiler makes, one thing a line.
lacks() {
	local option file built here
	configured X86_64 || echo "CONFIG_X86_64=y: other machines are not supported"
	for option in MODULES RUST DEBUG_FS; do configured $option || echo "CONFIG_$option=y"; done
	[ -s "$kernel/Module.symvers" ] || echo "Module.symvers: a complete build of the kernel (make) writes it"
	configured RUST || return 0
	for file in libcore.rmeta libkernel.rmeta libmacros.so; do
		[ -s "$kernel/rust/$file" ] || echo "rust/$file: metadata of the kernel's Rust code"
	done
	built=$(sed -n 's/^CONFIG_RUSTC_VERSION=//p' "$kernel/include/config/auto.conf")
	here=$("$@" --version 2>/dev/null | awk '{ split($2, v, /[.-]/); print v[1] * 100000 + v[2] * 100 + v[3] }')
	[ "$built" = "$here" ] ||
		echo "the rustc that is used, $(dotted "${here:-0}"): $(dotted "${built:-0}") compiled the kernel (RUSTC=)"
}
