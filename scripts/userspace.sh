#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the KUnit suites in user space, and the tests of the crates that make that possible. No kernel
# is needed.
#
# Usage: scripts/userspace.sh [SEED=NUMBER] [NAME]
#   SEED=NUMBER  one random sequence instead of the usual ones, also for the choices of the slab
#                allocator
#   NAME         only the tests with NAME in their names
# The last line is `userspace: N passed, N failed`. Documentation/userspace.rst says more.

source "$(dirname "$0")/lab.sh"

name=()
for argument; do
	case $argument in
	--help) usage 0 ;;
	SEED=*)
		SHADOW_RMAP_SEED=${argument#SEED=}
		[[ $SHADOW_RMAP_SEED =~ ^[0-9]{1,19}$ ]] || die "SEED=$SHADOW_RMAP_SEED: not a number"
		export SHADOW_RMAP_SEED
		;;
	*=* | -*) die "$argument: unknown; see scripts/userspace.sh --help" ;;
	*)
		[ ${#name[@]} -eq 0 ] || die "more than one NAME: ${name[0]}, $argument"
		name=("$argument")
		;;
	esac
done
toolchain
export CARGO_TARGET_DIR=$CARGO_FOLDER/userspace CARGO_TERM_COLOR=never

# cargo reads .cargo/config.toml where it runs.
cd "$TOP/tools/userspace"
with_lock "$CARGO_TARGET_DIR" quietly "building the suites for user space" "$CARGO_TARGET_DIR.log" \
	cargo test --locked --workspace --no-run
rc=0
cargo test --quiet --locked --workspace --no-fail-fast -- "${name[@]}" 2>&1 |
	tee "$OUT/userspace.log" || rc=$?
read -r passed failed < <(sed -n \
	's/^test result: .*\. \([0-9]*\) passed; \([0-9]*\) failed.*/\1 \2/p' "$OUT/userspace.log" |
	awk '{ passed += $1; failed += $2 } END { print passed + 0, failed + 0 }')
# A program that dies says nothing of its tests.
if [ "$rc" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
echo "userspace: $passed passed, $failed failed"
[ "$rc" -eq 0 ] && [ "$passed" -gt 0 ]
