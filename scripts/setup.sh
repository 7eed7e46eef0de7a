#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs what is missing: packages, a Rust toolchain that can build the kernel, bindgen.
# Writes the choice to $CACHE/toolchain.env, which scripts/kernel.sh and others source.
#
# Usage: scripts/setup.sh [--help | --llvm | --qemu | --programs | --drgn | --trace-cmd]
# --llvm installs clang and its tools as well, as kernels with KASAN and Rust need them, and --qemu
# what runs x86_64 guests; scripts/kernel.sh asks for both when it builds such a kernel. --programs
# installs what scripts/preload.py runs on the shadow, --drgn what scripts/drgn.sh needs to install drgn,
# and --trace-cmd what scripts/debian_guest.py runs in its guest.
#   RUSTC=PROGRAM, BINDGEN=PROGRAM    are used instead of those that are found; an error if they are too old

source "$(dirname "$0")/lab.sh"

[ "$(uname -m)" = x86_64 ] || die "this is a $(uname -m) machine: only x86-64 is supported"

# What the lab needs besides Rust; the names are the same in bookworm, trixie and later.
PACKAGES=(
	bc bison binutils busybox-static ca-certificates cpio flex gcc git graphviz kmod libc6-dev
	libelf-dev libssl-dev liburcu-dev make patch perl python3 python3-pytest xz-utils zlib1g-dev
)

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \(([^)]*)\|[0-9]*:\)\{0,1\}//p'; }

apt_update_once() {
	[ -z "${apt_updated:-}" ] || return 0
	quietly "reading package lists" "$CACHE/log/apt-update.log" as_root apt-get update
	apt_updated=1
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

install_packages() {
	local missing=() p
	for p in "$@"; do installed "$p" || missing+=("$p"); done
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "please install: ${missing[*]}"
	apt_update_once
	quietly "installing ${#missing[@]} packages" "$CACHE/log/apt-install.log" \
		as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends "${missing[@]}"
}

# choose TEST CANDIDATE...: prints the first one that passes.
choose() {
	local test=$1 candidate
	shift
	for candidate; do
		if [ -n "$candidate" ] && "$test" "$candidate"; then
			echo "$candidate"
			return
		fi
	done
	return 1
}

# usable_rustc PATH: new enough, with its tools, and with the library source that the kernel
# compiles.
usable_rustc() {
	local tool
	[ -x "$1" ] && version_ge "$("$1" --version 2>/dev/null | cut -d' ' -f2)" "$RUSTC_MIN" || return 1
	for tool in rustfmt clippy-driver cargo; do [ -x "$(dirname "$1")/$tool" ] || return 1; done
	[ -f "$("$1" --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs" ]
}

choose_rustc() { choose usable_rustc /usr/bin/rustc "$(command -v rustc || true)"; }

# given NAME TEST WHAT: prints the path of the program that the caller has set, if any.
given() {
	local path
	[ -n "${!1:-}" ] || return 0
	path=$(command -v "${!1}") && "$2" "$path" || die "$1=${!1}: this is not $3"
	echo "$path"
}

# Debian names its toolchain twice: the plain packages, and in older releases the newer ones
# that it keeps for its browsers.
install_rust() {
	apt_update_once
	if version_ge "$(candidate rustc)" "$RUSTC_MIN"; then
		install_packages rustc cargo rust-src rustfmt rust-clippy
	elif version_ge "$(candidate rustc-web)" "$RUSTC_MIN"; then
		install_packages rustc-web cargo-web rust-web-src rustfmt-web rust-web-clippy
	else
		die "no rustc >= $RUSTC_MIN with its library source; set RUSTC=/path/to/rustc"
	fi
}

usable_libclang() {
	version_ge "${1//[!0-9]/}" "${LIBCLANG_MIN%%.*}" && compgen -G "$1/libclang*.so*" >/dev/null
}

choose_libclang() {
	local folders
	mapfile -t folders < <(printf '%s\n' /usr/lib/llvm-*/lib | sort -rV)
	choose usable_libclang "${folders[@]}"
}

install_libclang() {
	apt_update_once
	if version_ge "$(candidate libclang-dev)" "$LIBCLANG_MIN"; then
		install_packages libclang-dev
	else
		# The library and its headers; libclang-19-dev is half a gigabyte of static
		# libraries besides.
		install_packages libclang1-19 libclang-common-19-dev
	fi
}

usable_bindgen() {
	[ -x "$1" ] && version_ge "$("$1" --version 2>/dev/null | cut -d' ' -f2)" "$BINDGEN_MIN"
}

choose_bindgen() { choose usable_bindgen /usr/bin/bindgen "$CACHE"/bindgen-*/bin/bindgen; }

# An older release has no bindgen that is new enough.
install_bindgen() {
	apt_update_once
	if version_ge "$(candidate bindgen)" "$BINDGEN_MIN"; then
		install_packages bindgen
	else
		unpack_program "$CACHE/bindgen-$BINDGEN_SUITE" bindgen "$BINDGEN_SUITE" bindgen
	fi
}

choose_toolchain() {
	local rustc libclang bindgen
	rustc=$(given RUSTC usable_rustc \
		"rustc >= $RUSTC_MIN with its library source, and rustfmt, clippy-driver and cargo beside it")
	bindgen=$(given BINDGEN usable_bindgen "bindgen >= $BINDGEN_MIN")
	[ -n "$rustc" ] || rustc=$(choose_rustc) || { install_rust && rustc=$(choose_rustc); } ||
		die "the installed rustc has no library source"
	libclang=$(choose_libclang) || { install_libclang && libclang=$(choose_libclang); } ||
		die "no libclang >= $LIBCLANG_MIN found"
	[ -n "$bindgen" ] || bindgen=$(choose_bindgen) || { install_bindgen && bindgen=$(choose_bindgen); } ||
		die "no bindgen >= $BINDGEN_MIN"
	# What the caller of a script has set comes first.
	cat >"$CACHE/toolchain.env.new" <<-END
		export RUSTC="\${RUSTC:-$rustc}" BINDGEN="\${BINDGEN:-$bindgen}" LIBCLANG_PATH="$libclang"
		case \$RUSTC in */*) export PATH="\${RUSTC%/*}:\$PATH" ;; esac
	END
	if ! cmp -s "$CACHE/toolchain.env.new" "$CACHE/toolchain.env"; then
		mv "$CACHE/toolchain.env.new" "$CACHE/toolchain.env"
		say "toolchain: $("$rustc" --version), $("$bindgen" --version), $(gcc --version | head -n1)"
	fi
	rm -f "$CACHE/toolchain.env.new"
}

set_up() {
	local version
	install_packages "${PACKAGES[@]}"
	choose_toolchain
	case ${1:-} in
	--llvm)
		source "$CACHE/toolchain.env"
		version=$(llvm_suffix "$LIBCLANG_PATH")
		install_packages "clang$version" "lld$version" "llvm$version"
		;;
	--qemu) install_packages qemu-system-x86 ;;
	--programs) install_packages stress-ng ;;
	--drgn) install_packages python3-venv ;;
	--trace-cmd) install_packages trace-cmd ;;
	esac
}

# Targets and steps that run at the same time install one after the other.
with_lock setup set_up "$@"
