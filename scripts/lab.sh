# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by every script: where things live, how they report. Sourced, never run.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/shadow-rmap
# Where cargo compiles. Each checkout has its own: cargo goes by times and by paths within the checkout, and
# would take the crates of another one for its own.
CARGO_FOLDER=$CACHE/cargo$TOP
OUT=$TOP/out
KERNEL_SUITE=trixie-backports
RUSTC_MIN=1.85.0
BINDGEN_MIN=0.71.1
BINDGEN_SUITE=trixie
LIBCLANG_MIN=17.0.1
JOBS=${JOBS:-$(($(nproc) + 1))}

mkdir -p "$CACHE" "$CARGO_FOLDER" "$OUT"

say() { printf '%s\n' "$*" >&2; }

die() {
	say "error: $*"
	exit 1
}

source "$TOP/scripts/build_folder.sh"

# usage STATUS: prints the comment at the top of the script, and ends.
usage() {
	sed -n '4,/^$/s/^# \{0,1\}//p' "$0"
	exit "$1"
}

# toolchain: the programs that setup.sh has chosen, but for those that the caller has set.
toolchain() {
	local name
	for name in RUSTC BINDGEN; do
		[ -z "${!name:-}" ] || command -v "${!name}" >/dev/null || die "$name=${!name}: no such program"
	done
	[ -f "$CACHE/toolchain.env" ] || "$TOP/scripts/setup.sh"
	source "$CACHE/toolchain.env"
}

# version_ge A B: A is at least B.
version_ge() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

# quietly WHAT LOG COMMAND...: the output goes to LOG; what is shown is one line every five
# seconds, and the end of LOG when the command fails.
quietly() {
	local what=$1 log=$2 begin=$SECONDS pid rc=0
	shift 2
	mkdir -p "$(dirname "$log")"
	say "$what ..."
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	until timeout 5 tail -s 0.2 --pid="$pid" -f /dev/null; do
		say "  $what: $((SECONDS - begin)) s, $(wc -l <"$log") lines: $(tail -n1 "$log" | tr -d '\r' | cut -c1-70)"
	done
	wait "$pid" || rc=$?
	if [ "$rc" -ne 0 ]; then
		tail -n 40 "$log" >&2
		die "$what failed (exit status $rc); the whole output is in $log"
	fi
	say "  $what: done in $((SECONDS - begin)) s"
}

# with_lock NAME|PATH COMMAND...: one at a time on this machine; a NAME is that of a file in the
# cache. The command has the lock as well: when we are stopped it goes on by itself, and others wait
# for it.
with_lock() {
	local lock=$1.lock
	[[ $1 == /* ]] || lock=$CACHE/$lock
	shift
	(
		flock -n 9 || {
			say "waiting for another run, which holds $lock"
			flock -w 3600 9 || die "another run holds $lock"
		}
		"$@"
	) 9>"$lock"
}

# private_apt SUITE: lets the array `apt_options` name this suite of Debian's archive alone. Its address
# comes from apt itself; apt gets a private list, state and cache below `apt_folder`, so that the
# machine's own configuration stays as it was. No package counts as installed.
private_apt() {
	local uri
	apt_folder=$CACHE/apt-$1-$(basename "$0" .sh)
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
		grep '/debian/$' | sort -u | head -n1) || true
	[ -n "$uri" ] || die "apt has no Debian archive configured, of which $1 would be a suite"
	rm -rf "$apt_folder"
	mkdir -p "$apt_folder/lists/partial" "$apt_folder/cache/archives/partial" "$apt_folder/deb"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $1 main" \
		>"$apt_folder/sources.list"
	: >"$apt_folder/status"
	apt_options=(
		-o "Dir::Etc::sourcelist=$apt_folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::Lists=$apt_folder/lists" -o "Dir::State::status=$apt_folder/status"
		-o "Dir::Cache=$apt_folder/cache" -o Debug::NoLocking=1
		-o APT::Sandbox::User=root -o Acquire::Languages=none
	)
	quietly "reading the package lists of $1" "$CACHE/log/apt-$1.log" \
		apt-get "${apt_options[@]}" update
}

# unpack_debs FOLDER FILE...: without installing them.
unpack_debs() {
	local dest=$1 package
	shift
	mkdir -p "$dest"
	for package; do dpkg-deb -x "$package" "$dest"; done
}

# unpack_packages SUITE FOLDER PACKAGE...: fetches packages of another Debian suite and unpacks them
# into the folder, without installing them.
unpack_packages() {
	local suite=$1 dest=$2 apt_folder apt_options
	shift 2
	private_apt "$suite"
	(
		cd "$apt_folder/deb"
		quietly "fetching $*" "$CACHE/log/apt-$suite-fetch.log" apt-get "${apt_options[@]}" download "$@"
		unpack_debs "$dest" ./*.deb
	)
	rm -rf "$apt_folder"
}

# unpack_program FOLDER NAME SUITE PACKAGES [OPTION...]: unpacks a program of another Debian suite.
# FOLDER/bin/NAME runs it with these options, beside the libc of its own release, started by that
# libc's own program loader. That file is written last: an interrupted run leaves none.
unpack_program() {
	local dest=$1 name=$2 suite=$3 packages lib=$1/usr/lib/x86_64-linux-gnu
	read -ra packages <<<"$4"
	shift 4
	rm -rf "$dest"
	unpack_packages "$suite" "$dest" "${packages[@]}" libc6
	# The other programs of a package may be large.
	find "$dest/usr/bin" ! -type d ! -name "$name" -delete
	mkdir -p "$dest/bin"
	cat >"$dest/bin/$name" <<-END
		#!/bin/sh
		exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$dest/usr/bin/$name" ${*@Q} "\$@"
	END
	chmod +x "$dest/bin/$name"
}

# llvm_suffix LIBCLANG_PATH: what `LLVM=` is to be for the clang of that library: -19.
llvm_suffix() { local d=${1%/lib} && echo "-${d##*llvm-}"; }

if [ -n "${KERNEL:-}" ]; then
	[[ " ${KERNEL_VERSIONS[*]} " == *" $KERNEL "* ]] ||
		die "KERNEL=$KERNEL: the lab is for Linux ${KERNEL_VERSIONS[*]}"
	[ -z "${KDIR:-}${KERNEL_TARBALL:-}" ] ||
		die "KERNEL= takes Debian's source, KDIR= and KERNEL_TARBALL= another one: give one of them"
fi

for argument; do [ "$argument" != --help ] || usage 0; done
