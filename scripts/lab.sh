# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by every script: where things live, how they report.  Sourced, never run.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/shadow-rmap
OUT=$TOP/out
KERNEL_PACKAGE=linux-source-7.3
KERNEL_SUITE=trixie-backports
RUSTC_MIN=1.85.0
BINDGEN_MIN=0.71.1
BINDGEN_BUILD=0.72.1
LIBCLANG_MIN=17.0.1
JOBS=${JOBS:-$(($(nproc) + 1))}

mkdir -p "$CACHE" "$OUT"

say() { printf '%s\n' "$*" >&2; }

die() {
	say "error: $*"
	exit 1
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
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if [ $((SECONDS - begin)) -ge 5 ] && [ $(((SECONDS - begin) % 5)) -eq 0 ] &&
			[ "${shown:-}" != "$SECONDS" ]; then
			local shown=$SECONDS
			say "  $what: $((SECONDS - begin)) s, $(wc -l <"$log") lines: $(tail -n1 "$log" | tr -d '\r' | cut -c1-70)"
		fi
	done
	wait "$pid" || rc=$?
	if [ "$rc" -ne 0 ]; then
		tail -n 40 "$log" >&2
		die "$what failed (exit status $rc); the whole output is in $log"
	fi
	say "  $what: done in $((SECONDS - begin)) s"
}

# with_lock NAME COMMAND...: one at a time on this machine.  The command has the lock as well: when we
# are stopped it goes on by itself, and others wait for it.
with_lock() {
	local lock=$CACHE/$1.lock
	shift
	(
		flock -n 9 || {
			say "waiting for another run, which holds $lock"
			flock -w 3600 9 || die "another run holds $lock"
		}
		"$@"
	) 9>"$lock"
}

# llvm_suffix LIBCLANG_PATH: what `LLVM=` is to be for the clang of that library: -19.
llvm_suffix() { local d=${1%/lib} && echo "-${d##*llvm-}"; }
