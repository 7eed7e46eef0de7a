#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Checks style and safety: rustfmt, clippy (the tools and the module), checkpatch, SPDX, the syntax of
# scripts, `unsafe` in listed files only, imports in one direction only, misuse that must not compile.
#
# Usage: scripts/check.sh [GATE...]     default: all gates, which are
#   rustfmt spdx syntax checkpatch unsafe_rooms layering clippy_tool clippy_module compile_fail
# scripts/tests/test_check.py proves that each gate fires.

source "$(dirname "${BASH_SOURCE[0]}")/lab.sh"

ALL_GATES=(rustfmt spdx syntax checkpatch unsafe_rooms layering clippy_tool clippy_module
	compile_fail)

# The build for gate_clippy_module. W=e turns warnings into errors, so that the next build, which
# may have nothing to do, does not lose one.
MODULE_CLIPPY=(make --no-print-directory -C "$TOP" module CLIPPY=1 W=e VM=um)

# Fills the array `files` from the arguments, or with the files of the repository under the
# patterns, and new ones that are not ignored.
pick() {
	local patterns=$1
	shift
	files=("$@")
	# shellcheck disable=SC2086 # several patterns
	[ $# -gt 0 ] || mapfile -t files < <(set -f && cd "$TOP" &&
		git ls-files -co --exclude-standard -- $patterns | xargs -r ls -d 2>/dev/null | sed "s|^|$TOP/|")
	[ ${#files[@]} -gt 0 ] || { say "  no file is there to check"; return 1; }
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
		sed -nE '1{/^(#!|C )/d;p;q}; 2p; 2q' "$f" | grep -q 'SPDX-License-Identifier: GPL-2.0' && continue
		echo "${f#"$TOP"/}:1: no SPDX-License-Identifier: GPL-2.0"
		rc=1
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

# MAINTAINERS, which FILE_PATH_CHANGES asks for, is a file of this repository.
gate_checkpatch() {
	local files source_dir
	pick '*.[ch]' "$@" || return 1
	source_dir=$("$TOP/scripts/source.sh")
	perl "$source_dir/scripts/checkpatch.pl" --strict --no-tree --terse --show-types --quiet \
		--no-summary --ignore FILE_PATH_CHANGES -f "${files[@]}"
}

# Files that may contain `unsafe`: each lifts deny(unsafe_code), which each crate root sets.
UNSAFE_ROOMS=(
	ffi.rs trace.rs 'bindings/.*' 'kernel_ext/.*' 'host/.*' 'torture/busted/.*' 'rmap/tests/.*'
	rmap/{anon_vma,chain,family,free,lock,lookup,merge,page,statics,steps,testing/world}.rs
	rmap/{unlink,vma,vma_pages,walk}.rs
	model/{mapping,steps}.rs model/tests/{forgotten,remap,verify,walk}.rs
	device/{registry,vm_ops,zero_pages,mergeable/vm_ops,live/mapping}.rs
	bench/shadow.rs torture/preemptible.rs shadow_rmap_{main,kunit,torture}.rs
)

# gate_unsafe_rooms [FOLDER]: looks at each line that is not one of comment. Clippy demands the
# SAFETY comments and sections.
gate_unsafe_rooms() {
	local roots faults
	cd "${1:-$TOP}/rust" || return 1
	mapfile -t roots < <(grep -lE '^module! *\{' ./*.rs)
	[ ${#roots[@]} -gt 0 ] || { echo "rust/: no crate root was found"; return 1; }
	faults=$(
		grep -L '^#!\[deny(unsafe_code)\]$' "${roots[@]}" |
			sed 's/$/: a crate root must have #![deny(unsafe_code)]/'
		grep -rnP --include='*.rs' '^(?!\s*//|#!\[deny\().*\bunsafe(_code)?\b' . |
			grep -vE "^\./($(IFS='|'; echo "${UNSAFE_ROOMS[*]}")):" | sed 's/$/    outside its rooms/'
	) || true
	[ -z "$faults" ] || { echo "$faults"; return 1; }
}

gate_layering() { python3 "$TOP/scripts/layering.py" "$@"; }

# gate_clippy_tool [FOLDER...]
gate_clippy_tool() (
	[ $# -gt 0 ] || set -- "$TOP/tools/rmapctl" "$TOP/tools/userspace" \
		"$TOP/tools/userspace/"{fuzz,host,orders,schedules}
	for folder; do
		cd "$folder" || exit 1
		CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CARGO_FOLDER/$(basename "$folder")} \
			cargo clippy --quiet --locked --workspace --all-targets -- -D warnings || exit 1
	done
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

toolchain

[ $# -gt 0 ] || set -- "${ALL_GATES[@]}"
for gate; do
	declare -F "gate_$gate" >/dev/null || die "no gate $gate; there are: ${ALL_GATES[*]}"
done

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
mkdir -p "$OUT/check"
bad=()
declare -A gate_of=()
for gate; do
	while [ "$(jobs -rp | wc -l)" -ge 2 ]; do sleep 0.2; done
	run_gate "$gate" &
	gate_of[$!]=$gate
done
for pid in "${!gate_of[@]}"; do wait "$pid" || bad+=("${gate_of[$pid]}"); done
[ ${#bad[@]} = 0 ] || {
	echo "check: FAIL ${bad[*]}"
	exit 1
}
echo "check: PASS"
