#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Changes the engine and the type-safe slab in one place after the other, and shows which changes the
# KUnit suites and the other tests of the crate `engine` of tools/userspace do not notice.
#
# Usage: scripts/mutants.sh [SHARD=K/N] [FILE]
#   SHARD=K/N  each Nth change alone, from the Kth on; K is from 0 to N-1
#   FILE       the changes of this file alone, such as rust/rmap/fork.rs
# All changes take hours. cargo-mutants makes them, in a copy of the sources. out/mutants has what it
# found: missed.txt lists the changes that no test has noticed. The last line is
# `mutants: caught N/M (N by the time limit), missed N, unviable N`; an unviable change does not compile, and is not
# in M. A test that waits for ever is ended by the time limit, and so is one on a machine that is too busy.

source "$(dirname "$0")/lab.sh"

VERSION=27.1.0
cd "$TOP"
shard=() files=(rust/rmap/*.rs rust/kernel_ext/typesafe/*.rs)
for argument; do
	case $argument in
	--help) usage 0 ;;
	SHARD=*)
		[[ $argument =~ ^SHARD=([0-9]{1,4})/([0-9]{1,4})$ && BASH_REMATCH[1] -lt BASH_REMATCH[2] ]] ||
			die "$argument: not K/N with K below N"
		shard=(--sharding round-robin --shard "${argument#SHARD=}")
		;;
	*=* | -*) die "$argument: unknown; see scripts/mutants.sh --help" ;;
	*)
		[[ " ${files[*]} " == *" $argument "* ]] || die "$argument: not a file of the engine"
		files=("$argument")
		;;
	esac
done
toolchain
# As the crate names them.
files=("${files[@]/#/--file=**/}")

program=$CACHE/cargo-mutants-$VERSION
install_program() {
	[ -x "$program/bin/cargo-mutants" ] ||
		quietly "building cargo-mutants (once; minutes)" "$CACHE/log/cargo-mutants.log" \
			cargo install cargo-mutants --version "$VERSION" --locked --root "$program" \
			--target-dir "$CARGO_FOLDER/cargo-mutants"
}
with_lock "$program" install_program

# cargo-mutants changes what lies in the folder of a workspace alone. So the copy has its workspace
# above both rust/ and the crates.
copy=$CARGO_FOLDER/mutants
copy_sources() {
	rm -rf "$copy"
	mkdir -p "$copy/tools/userspace"
	cp -r "$TOP/rust" "$copy/"
	cp -r "$TOP/tools/userspace/"{engine,kernel,macros,configuration.rs} "$copy/tools/userspace/"
	cp -r "$TOP/tools/userspace/"{.cargo,Cargo.lock} "$copy/"
	sed '/^exclude = /d; s|^members = .*|members = ["tools/userspace/engine", "tools/userspace/kernel", "tools/userspace/macros"]|' \
		"$TOP/tools/userspace/Cargo.toml" >"$copy/Cargo.toml"
}

run() {
	copy_sources
	rm -rf "$OUT/mutants" "$OUT/mutants.out"
	cd "$copy"
	unset CARGO_TARGET_DIR
	# Most of the time goes into building. The tests need 4 s on an idle machine.
	CARGO_TERM_COLOR=never CARGO_PROFILE_DEV_DEBUG=0 "$program/bin/cargo-mutants" mutants --in-place \
		--package engine "${files[@]}" --timeout 30 --no-shuffle --colors never \
		--output "$OUT" "${shard[@]}" -- --lib
}

# Its exit status is 2 where changes were missed, and 3 where a test took too long, which is a catch.
rc=0
with_lock "$CARGO_FOLDER/mutants" run || rc=$?
[ -d "$OUT/mutants.out" ] || die "cargo-mutants failed (exit status $rc)"
mv "$OUT/mutants.out" "$OUT/mutants"
count() { wc -l <"$OUT/mutants/$1.txt"; }
caught=$(($(count caught) + $(count timeout)))
case $rc in 0 | 2 | 3) ;; *) die "cargo-mutants failed (exit status $rc)" ;; esac
echo "mutants: caught $caught/$((caught + $(count missed))) ($(count timeout) by the time limit)," \
	"missed $(count missed), unviable $(count unviable)"
