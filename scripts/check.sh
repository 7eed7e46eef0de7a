#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Checks style and safety: rustfmt, clippy (the tool and the module), checkpatch, SPDX, the syntax of
# scripts, `unsafe` in listed files only, imports in one direction only, misuse that must not compile.
#
# Usage: scripts/check.sh [GATE...]     default: all gates
# scripts/tests/test_check.py proves that each gate fires.

source "$(dirname "${BASH_SOURCE[0]}")/lab.sh"

ALL_GATES=(rustfmt spdx syntax checkpatch unsafe_rooms layering clippy_tool clippy_module
	compile_fail)

# What checkpatch must not report, and why.
CHECKPATCH_IGNORE=(
	FILE_PATH_CHANGES # MAINTAINERS is a file of this repository
)

# The build for gate_clippy_module. W=e turns warnings into errors, so that the next build, which may
# have nothing to do, does not lose one.
MODULE_CLIPPY=(make --no-print-directory -C "$TOP" module CLIPPY=1 W=e VM=um)

# tracked PATTERN...: prints the files of the repository, and new ones that are not ignored.
tracked() {
	git -C "$TOP" ls-files -z -co --exclude-standard -- "$@" | while IFS= read -r -d '' f; do
		[ ! -f "$TOP/$f" ] || printf '%s\0' "$TOP/$f"
	done
}

# Fills the array `files` from the arguments, or from what is tracked under the patterns.
pick() {
	local patterns=$1
	shift
	files=("$@")
	# shellcheck disable=SC2086 # several patterns
	[ $# -gt 0 ] || mapfile -d '' files < <(set -f && tracked $patterns)
	[ ${#files[@]} -gt 0 ] || {
		say "  no file is there to check"
		return 1
	}
}

# The edition of rust/ is in the kernel's configuration, that of the tool in its Cargo.toml; the two
# editions sort imports differently.
gate_rustfmt() {
	local files rc=0 edition config
	config=$("$TOP/scripts/source.sh")/.rustfmt.toml
	if [ $# -gt 0 ]; then
		rustfmt --color never --check --config-path "$config" "$@"
		return
	fi
	pick 'rust/*.rs scripts/compile-fail/*.rs' || return 1
	rustfmt --color never --check --config-path "$config" "${files[@]}" || rc=1
	edition=$(sed -n 's/^edition = "\(.*\)"/\1/p' "$TOP/tools/rmapctl/Cargo.toml")
	pick 'tools/*.rs' || return 1
	rustfmt --color never --check --edition "$edition" "${files[@]}" || rc=1
	return $rc
}

# Line 1, or line 2 after an interpreter, or after the name with which herd7 begins a test.
gate_spdx() {
	local files f rc=0
	pick '*.rs *.[ch] *.py *.sh *.rst *.toml *.scn *.litmus *fragment .ci/run Makefile Kbuild Kconfig' "$@" ||
		return 1
	for f in "${files[@]}"; do
		if ! head -n2 "$f" | awk 'NR == 1 && /^(#!|C )/ { next } { print; exit }' |
			grep -q 'SPDX-License-Identifier: GPL-2.0'; then
			echo "${f#"$TOP"/}:1: no SPDX-License-Identifier: GPL-2.0"
			rc=1
		fi
	done
	return $rc
}

gate_syntax() {
	local files f rc=0
	pick '*.sh *.py .ci/run' "$@" || return 1
	for f in "${files[@]}"; do
		case $f:$(head -n1 "$f") in
		*.py:*) python3 -c 'import ast, sys
ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$f" || rc=1 ;;
		*busybox*) busybox sh -n "$f" || rc=1 ;;
		*bash | *SPDX*) bash -n "$f" || rc=1 ;;
		*)
			echo "$f: unknown interpreter"
			rc=1
			;;
		esac
	done
	return $rc
}

gate_checkpatch() {
	local files source_dir ignore
	pick '*.[ch]' "$@" || return 1
	source_dir=$("$TOP/scripts/source.sh")
	ignore=$(IFS=,; echo "${CHECKPATCH_IGNORE[*]}")
	perl "$source_dir/scripts/checkpatch.pl" --strict --no-tree --terse --show-types --quiet \
		--no-summary --ignore "$ignore" -f "${files[@]}"
}

gate_unsafe_rooms() { python3 "$TOP/scripts/unsafe_rooms.py" "$@"; }

gate_layering() { python3 "$TOP/scripts/layering.py" "$@"; }

# gate_clippy_tool [FOLDER]
gate_clippy_tool() (
	cd "${1:-$TOP/tools/rmapctl}" || exit 1
	export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/rmapctl-target}
	cargo clippy --quiet --locked --all-targets -- -D warnings
)

# The kernel's build asks for the two lints that every unsafe block and function be documented.
asks_for_safety_comments() {
	grep -q 'Wclippy::undocumented_unsafe_blocks' "$1/Makefile" &&
		grep -q 'Wclippy::all' "$1/Makefile" &&
		grep -q '^check-private-items = true' "$1/.clippy.toml" || {
		echo "the kernel's build does not demand SAFETY comments and sections"
		return 1
	}
}

gate_clippy_module() {
	local output rc=0
	asks_for_safety_comments "$("$TOP/scripts/source.sh")" || return 1
	output=$("${MODULE_CLIPPY[@]}" 2>&1) || rc=$?
	# A sub-make may lose its status; the text of a warning always fails.
	if [ $rc -ne 0 ] || grep -qE '^(warning|error)\b' <<<"$output"; then
		printf '%s\n' "$output" | tail -n 60
		return 1
	fi
}

gate_compile_fail() { python3 "$TOP/scripts/compile_fail.py" "$@"; }

# The tests of this script call the gates one by one.
[ "${BASH_SOURCE[0]}" = "$0" ] || return 0

[ -f "$CACHE/toolchain.env" ] || "$TOP/scripts/setup.sh"
# shellcheck source=/dev/null
source "$CACHE/toolchain.env"

gates=()
for arg; do
	if [ "$arg" = --help ]; then
		sed -n '4,8s/^# \{0,1\}//p' "$0"
		echo "Gates: ${ALL_GATES[*]}"
		exit
	fi
	declare -F "gate_$arg" >/dev/null || die "no gate $arg; there are: ${ALL_GATES[*]}"
	gates+=("$arg")
done
[ ${#gates[@]} -gt 0 ] || gates=("${ALL_GATES[@]}")

# run_gate GATE: the output goes to a file, the result is printed.
run_gate() {
	local begin=$SECONDS
	if ( "gate_$1" ) >"$OUT/check/$1.log" 2>&1 </dev/null; then
		echo "check: $1: ok ($((SECONDS - begin)) s)"
	else
		tail -n 60 "$OUT/check/$1.log"
		echo "check: $1: FAILED (whole output in out/check/$1.log)"
		return 1
	fi
}

# Most gates are a compiler of one thread: two gates run at a time.
bad=()
declare -A running=()
mkdir -p "$OUT/check"
wait_for_one() {
	local pid rc=0
	wait -n -p pid || rc=$?
	[ "$rc" = 0 ] || bad+=("${running[$pid]}")
	unset "running[$pid]"
}
for gate in "${gates[@]}"; do
	[ ${#running[@]} -lt 2 ] || wait_for_one
	run_gate "$gate" &
	running[$!]=$gate
done
while [ ${#running[@]} -gt 0 ]; do wait_for_one; done
[ ${#bad[@]} = 0 ] || {
	echo "check: FAIL ${bad[*]}"
	exit 1
}
echo "check: PASS"
