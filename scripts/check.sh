#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Style and safety gates: rustfmt, clippy (the tool and the module), checkpatch, SPDX, unsafe
# rooms, rules with their checks and tests, misuse that must not compile, code that the torture
# must not change, syntax of scripts.
#
# Usage: scripts/check.sh [--self-test] [GATE...]     default: all gates
#   --self-test   proves that each gate fires, on temporary files (KTAP)

source "$(dirname "$0")/lab.sh"

ALL_GATES=(rustfmt spdx syntax checkpatch unsafe_rooms rules_table clippy_tool clippy_module
	compile_fail same_code)

# What checkpatch may not complain about, and why.
CHECKPATCH_IGNORE=(
	FILE_PATH_CHANGES # MAINTAINERS stands in this repository, not in the file
)

# The module's build for gate_clippy_module; W=e turns warnings into errors, so that one is not
# lost when the next build has nothing to do.
MODULE_CLIPPY=(make --no-print-directory -C "$TOP" module CLIPPY=1 W=e VM=um)

# tracked PATTERN...: this repository's files, and those that are about to be.
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

# The edition of rust/ is in the kernel's own configuration, that of the tool in its Cargo.toml:
# the two sort their imports differently.
gate_rustfmt() {
	local files rc=0 edition config
	config=$("$TOP/scripts/source.sh")/.rustfmt.toml
	if [ $# -gt 0 ]; then
		rustfmt --color never --check --config-path "$config" "$@"
		return
	fi
	pick 'rust/*.rs scripts/*.rs' || return 1
	rustfmt --color never --check --config-path "$config" "${files[@]}" || rc=1
	edition=$(sed -n 's/^edition = "\(.*\)"/\1/p' "$TOP/tools/rmapctl/Cargo.toml")
	pick 'tools/*.rs' || return 1
	rustfmt --color never --check --edition "$edition" "${files[@]}" || rc=1
	return $rc
}

# Line 1, or line 2 after an interpreter.
gate_spdx() {
	local files f rc=0
	pick '*.rs *.[ch] *.py *.sh *.rst *.toml *.scn *fragment .ci/run Makefile Kbuild Kconfig' "$@" ||
		return 1
	for f in "${files[@]}"; do
		if ! head -n2 "$f" | awk 'NR == 1 && /^#!/ { next } { print; exit }' |
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
		case $(head -n1 "$f") in
		*busybox*) busybox sh -n "$f" || rc=1 ;;
		*python3) python3 -c 'import ast, sys
ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$f" || rc=1 ;;
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

gate_rules_table() { python3 "$TOP/scripts/rules_table.py" --check "$@"; }

# gate_clippy_tool [FOLDER]
gate_clippy_tool() (
	cd "${1:-$TOP/tools/rmapctl}" || exit 1
	export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/rmapctl-target}
	cargo clippy --quiet --locked --all-targets -- -D warnings
)

gate_clippy_module() {
	local output rc=0
	output=$("${MODULE_CLIPPY[@]}" 2>&1) || rc=$?
	# Sub-makes may swallow a status; a warning that is shown never passes.
	if [ $rc -ne 0 ] || grep -qE '^(warning|error)\b' <<<"$output"; then
		printf '%s\n' "$output" | tail -n 60
		return 1
	fi
}

gate_compile_fail() { python3 "$TOP/scripts/compile_fail.py" "$@"; }

gate_same_code() { python3 "$TOP/scripts/same_code.py" "$@"; }

# expect NAME 0|1 COMMAND...: one line of KTAP.
expect() {
	local name=$1 want=$2 rc=0
	shift 2
	number=$((number + 1))
	( "$@" ) >"$tmp/said" 2>&1 </dev/null || rc=1
	if [ $rc = "$want" ]; then
		echo "ok $number $name"
	else
		sed 's/^/# /' "$tmp/said" | head -n 20
		echo "not ok $number $name"
		failed=1
	fi
}

# table_lacks WORDS: the gate fires on the tree in $tmp/table, and says WORDS.
table_lacks() {
	local output
	if output=$(gate_rules_table --top "$tmp/table"); then
		echo "the gate passes, though: $1"
		return 1
	fi
	grep -qF -- "$1" <<<"$output" || {
		printf '%s\n' "$output" "it does not say: $1"
		return 1
	}
}

# A tree with two rules; each case changes one file of it, or all of them back.
rules_table_self_test() {
	local table=$tmp/table code=$tmp/table/rust/code.rs
	local check='    /// Says.\n    fn check(&self, x: bool) {\n        '
	local holds='    /// It holds (R1-R2).\n    #[test]\n    fn holds() {\n        g();\n    }\n'
	local one='        let ((), n) = Rule::R1.expect_violations(|| f("{"));\n'
	local two='        seen::<u8>(Rule::R2, || ());\n'
	local broken='    /// It is broken (R1, R2).\n    #[test]\n    fn broken() {\n'
	local helper='    fn seen<T>(rule: Rule, f: impl FnOnce()) {\n        rule.expect_violations(f);\n    }\n'

	# code_with CHECK-OF-R1 CHECK-OF-R2 TESTS
	code_with() {
		printf '%b' '/// A type.\nimpl<T: Fn() -> u8> Drop for Code<T> {\n' "$check$1\n    }\n}\n" \
			"fn verify(sink: &Sink) {\n    $2\n}\n" \
			"#[kunit_tests(shadow_rmap_code)]\nmod tests {\n$3}\n" >"$code"
	}
	# changed CHECK-OF-R1 CHECK-OF-R2 TESTS WORDS
	changed() { code_with "$1" "$2" "$3" && table_lacks "$4"; }
	local first='Rule::R1.check(x);' second='sink.check(Rule::R2, x < 1, "(");'
	local tests=$holds$broken$one$two'    }\n'$helper
	local good=("$first" "$second" "$tests")
	mkdir -p "$table/rust/rmap" "$table/Documentation"
	printf 'rules! {\n    R1 "first";\n    R2 "second";\n}\n' >"$table/rust/rmap/rules.rs"
	printf '%s\n' '.. list-table::' '' '   * - R1' '     - x' '   * - R2' '     - x' '' \
		'.. What follows is written by scripts/rules_table.py.' \
		'.. What follows is written by hand.' >"$table/Documentation/rules.rst"
	code_with "${good[@]}"
	expect "rules_table: a table out of date" 0 table_lacks "is out of date"
	expect "rules_table: is written" 0 python3 "$TOP/scripts/rules_table.py" --top "$table"
	expect "rules_table: passes" 0 gate_rules_table --top "$table"
	expect "rules_table: names what it found" 0 grep -qF 'code.rs: ``Code::check``' \
		"$table/Documentation/rules.rst"

	local none="R1 (first): nothing checks it"
	expect "rules_table: a rule without check" 0 changed '' "$second" "$tests" "$none"
	expect "rules_table: a check of nothing" 0 changed \
		'Rule::R1.check(true); Rule::R1.checked(2);' "$second" "$tests" "$none"
	expect "rules_table: a check in a comment" 0 changed "// $first" "$second" "$tests" "$none"
	expect "rules_table: a check in a test" 0 changed '' "$second" "${tests/'g();'/$first}" "$none"
	expect "rules_table: a check for tests alone" 0 changed \
		'}\n    #[cfg(CONFIG_KUNIT = "y")]\n    fn other() {\n        '"$first" "$second" "$tests" "$none"
	expect "rules_table: a verifier that says true" 0 changed "$first" \
		'sink.check(Rule::R2, true, "");' "$tests" "R2 (second): nothing checks it"

	expect "rules_table: a rule without test" 0 changed "$first" "$second" \
		"${tests/R1-R2/R2}" "R1 (first): no test that it holds"
	expect "rules_table: a test that does not name it" 0 changed "$first" "$second" \
		"${tests/(R1-R2)/(see R1, R2)}" "R1 (first): no test that it holds"
	expect "rules_table: a function that is no test" 0 changed "$first" "$second" \
		"${tests/'#[test]'/}" "R1 (first): no test that it holds"
	expect "rules_table: a rule that is never broken" 0 changed "$first" "$second" \
		"${tests/"$one"/}" "R1 (first): no test breaks it"
	expect "rules_table: nor by another's hand" 0 changed "$first" "$second" \
		"${tests/'seen:'/'unseen:'}" "R2 (second): no test breaks it"
	expect "rules_table: a test that breaks it alone" 0 changed "$first" "$second" \
		"${tests/"$holds"/}" "R1 (first): no test that it holds"
	expect "rules_table: a rule that is none" 0 changed "$first" "$second" \
		"${tests/R1-R2/R1-R3}" "there is no rule R3"

	code_with 'Rule::R1.holds(x);' "$second" "$tests"
	expect "rules_table: passes again" 0 gate_rules_table --top "$table"
	echo '   * - R2' >>"$table/Documentation/rules.rst"
	expect "rules_table: a row too many" 0 table_lacks "R2 has 2 rows"
	echo '}' >>"$code"
	expect "rules_table: code that is none" 0 table_lacks "a brace too many"
}

self_test() {
	local number=0 failed=0
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	mkdir -p "$tmp/rust/rmap" "$tmp/rust/kernel_ext" "$tmp/crate/src" "$tmp/cases"
	cd "$tmp"
	echo "KTAP version 1"
	echo "1..59"

	printf '// SPDX-License-Identifier: GPL-2.0\n\nfn f() {}\n' >good.rs
	printf '// SPDX-License-Identifier: GPL-2.0\nfn  f( ) { }\n' >bad.rs
	expect "rustfmt: passes" 0 gate_rustfmt good.rs
	expect "rustfmt: fires" 1 gate_rustfmt bad.rs

	printf '#!/bin/sh\n# SPDX-License-Identifier: GPL-2.0\n' >good.sh
	printf '// Hello\n// SPDX-License-Identifier: GPL-2.0\n' >late.rs
	printf '# SPDX-License-Identifier: MIT\n' >other.py
	: >empty.toml
	expect "spdx: line 1" 0 gate_spdx good.rs
	expect "spdx: line 2 after an interpreter" 0 gate_spdx good.sh
	expect "spdx: too late" 1 gate_spdx late.rs
	expect "spdx: another licence" 1 gate_spdx other.py
	expect "spdx: an empty file" 1 gate_spdx empty.toml

	printf '#!/usr/bin/env bash\nif true; then :; fi\n' >ok.sh
	printf '#!/usr/bin/env bash\nif true; then\n' >bad.sh
	printf '#!/bin/busybox sh\ncase x in\n' >badbox.sh
	printf '#!/usr/bin/env python3\nprint(1)\n' >ok.py
	printf '#!/usr/bin/env python3\ndef f(:\n' >bad.py
	expect "syntax: passes" 0 gate_syntax ok.sh ok.py
	expect "syntax: bash" 1 gate_syntax bad.sh
	expect "syntax: busybox" 1 gate_syntax badbox.sh
	expect "syntax: python" 1 gate_syntax bad.py

	printf '/* SPDX-License-Identifier: GPL-2.0 */\nint f(void);\n' >good.h
	printf '/* SPDX-License-Identifier: GPL-2.0 */\nint f( int a,int b ) ;\n' >bad.h
	expect "checkpatch: passes" 0 gate_checkpatch good.h
	expect "checkpatch: fires" 1 gate_checkpatch bad.h

	unsafe() { gate_unsafe_rooms --top "$tmp" "$tmp/rust/$1"; }
	local allow='#![expect(unsafe_code)]'
	echo '#![deny(unsafe_code)]' >rust/shadow_rmap_main.rs
	printf 'fn f() {\n    unsafe { g() }\n}\n' >rust/rmap/walk.rs
	printf '// unsafe\n/* unsafe /* */ unsafe */\nfn f() { g("unsafe", r#"unsafe " "#, b"unsafe"); }\n' \
		>rust/rmap/words.rs
	printf '#![allow(unsafe_code)]\n' >rust/rmap/lifts.rs
	printf '#[expect(unsafe_code)]\nfn f<'"'a"'>() -> char { '"'\"'"' }\n' >rust/rmap/item.rs
	printf '%s\nfn f() {\n    // SAFETY: Because.\n    let a = g(\n        unsafe { h() },\n    );\n}\n' \
		"$allow" >rust/kernel_ext/good.rs
	printf '%s\nfn f() {\n    // SAFETY: Because.\n    unsafe { g() };\n    unsafe { g() };\n}\n' \
		"$allow" >rust/kernel_ext/second.rs
	printf '%s\n// Because.\nunsafe impl Send for A {}\n' "$allow" >rust/kernel_ext/impl.rs
	printf '%s\n/// Does.\npub unsafe fn f() {}\n' "$allow" >rust/kernel_ext/undocumented.rs
	printf '%s\n/// Does.\n///\n/// # Safety\n///\n/// Take care.\n#[inline]\npub unsafe fn f() {}\n' \
		"$allow" >rust/kernel_ext/documented.rs
	printf 'fn f() {\n    // SAFETY: Because.\n    unsafe { g() }\n}\n' >rust/kernel_ext/silent.rs
	expect "unsafe_rooms: the root denies" 0 unsafe shadow_rmap_main.rs
	expect "unsafe_rooms: outside" 1 unsafe rmap/walk.rs
	expect "unsafe_rooms: comments and strings are no code" 0 unsafe rmap/words.rs
	expect "unsafe_rooms: the denial is lifted outside" 1 unsafe rmap/lifts.rs
	expect "unsafe_rooms: one item's macro" 0 unsafe rmap/item.rs
	expect "unsafe_rooms: a room" 0 unsafe kernel_ext/good.rs
	expect "unsafe_rooms: a block without SAFETY" 1 unsafe kernel_ext/second.rs
	expect "unsafe_rooms: an impl without SAFETY" 1 unsafe kernel_ext/impl.rs
	expect "unsafe_rooms: a fn without Safety section" 1 unsafe kernel_ext/undocumented.rs
	expect "unsafe_rooms: a fn with Safety section" 0 unsafe kernel_ext/documented.rs
	expect "unsafe_rooms: a room that does not say so" 1 unsafe kernel_ext/silent.rs
	mkdir rust/host
	echo "$allow" >rust/host/mod.rs
	cp rust/kernel_ext/silent.rs rust/host/vma.rs
	expect "unsafe_rooms: a room whose mod.rs says so" 0 unsafe host/vma.rs
	echo 'fn f() {}' >rust/shadow_rmap_main.rs
	expect "unsafe_rooms: the root does not deny" 1 unsafe shadow_rmap_main.rs

	rules_table_self_test

	printf '[package]\nname = "trial"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n' \
		>crate/Cargo.toml
	printf '# This file is automatically @generated by Cargo.\nversion = 3\n\n[[package]]\nname = "trial"\nversion = "0.1.0"\n' \
		>crate/Cargo.lock
	export CARGO_TARGET_DIR=$tmp/target
	echo 'pub fn f(v: &[u8]) -> bool { v.is_empty() }' >crate/src/lib.rs
	expect "clippy_tool: passes" 0 gate_clippy_tool crate
	echo 'pub fn f(v: &[u8]) -> bool { v.len() == 0 }' >crate/src/lib.rs
	expect "clippy_tool: fires" 1 gate_clippy_tool crate

	MODULE_CLIPPY=(echo "  RUSTC [M] rust/shadow_rmap_main.o")
	expect "clippy_module: passes" 0 gate_clippy_module
	MODULE_CLIPPY=(echo "warning: this can be written shorter")
	expect "clippy_module: a warning" 1 gate_clippy_module
	MODULE_CLIPPY=(false)
	expect "clippy_module: a build that fails" 1 gate_clippy_module

	config() { "$TOP/scripts/kernel.sh" --check-config "$1" um; }
	cat "$TOP/.config.fragment" "$TOP/scripts/config/um.fragment" >all.config
	grep -v '^CONFIG_RUST=y' all.config >without.config
	{ cat all.config && echo CONFIG_SLUB_TINY=y; } >unwanted.config
	expect "kernel options: all there" 0 config all.config
	expect "kernel options: one dropped" 1 config without.config
	expect "kernel options: one unwanted" 1 config unwanted.config

	printf 'pub fn f() -> &'"'static"' u8 {\n    let a = 1;\n    &a\n}\n' >cases/dangling.rs
	printf 'error[E0515]\n`a`\n' >cases/dangling.stderr
	expect "compile_fail: the misuse is refused" 0 gate_compile_fail --rustc cases/dangling.rs
	printf 'error[E0515]\nsomething that is not said\n' >cases/dangling.stderr
	expect "compile_fail: for another reason" 1 gate_compile_fail --rustc cases/dangling.rs
	printf 'error[E0597]\n' >cases/dangling.stderr
	expect "compile_fail: with another code" 1 gate_compile_fail --rustc cases/dangling.rs
	cp good.rs cases/compiles.rs
	printf 'error[E0515]\n' >cases/compiles.stderr
	expect "compile_fail: a misuse that compiles" 1 gate_compile_fail --rustc cases/compiles.rs

	expect "same_code: what differs is found" 0 gate_same_code --self-test
	[ $number = 59 ] || { say "the plan says 59, $number were run"; failed=1; }
	return $failed
}

[ -f "$CACHE/toolchain.env" ] || "$TOP/scripts/setup.sh"
# shellcheck source=/dev/null
source "$CACHE/toolchain.env"

gates=()
for arg; do
	case $arg in
	--help)
		sed -n '4,9s/^# \{0,1\}//p' "$0"
		echo "Gates: ${ALL_GATES[*]}"
		exit
		;;
	--self-test)
		self_test
		exit
		;;
	*)
		declare -F "gate_$arg" >/dev/null || die "no gate $arg; there are: ${ALL_GATES[*]}"
		gates+=("$arg")
		;;
	esac
done
[ ${#gates[@]} -gt 0 ] || gates=("${ALL_GATES[@]}")

# run_gate GATE: what it says goes to a file, how it went is printed.
run_gate() {
	local begin=$SECONDS
	if ( "gate_$1" ) >"$OUT/check/$1.log" 2>&1 </dev/null; then
		echo "check: $1: ok ($((SECONDS - begin)) s)"
	else
		tail -n 60 "$OUT/check/$1.log"
		echo "check: $1: FAILED (all of it in out/check/$1.log)"
		return 1
	fi
}

# Most of them are a compiler, which is one thread: two of them at a time.
bad=()
declare -A running=()
mkdir -p "$OUT/check"
# wait_for_one: until one of those that run is done.
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
