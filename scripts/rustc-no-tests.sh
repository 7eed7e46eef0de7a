#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# rustc for a module without its KUnit suites, whatever the kernel was configured with: most of the
# time that the module takes to compile goes into them.  It also shows that the module compiles
# without them.
#
# Usage: SHADOW_RMAP_RUSTC=RUSTC scripts/rustc-no-tests.sh [RUSTC-ARGUMENT...]
#   in place of rustc, by scripts/module.sh; the kernel's @FILE of options is read without CONFIG_KUNIT

set -euo pipefail
: "${SHADOW_RMAP_RUSTC:?}"
n=$#
while [ "$n" -gt 0 ]; do
	argument=$1
	shift
	case $argument in
	@*/rustc_cfg)
		options=$(mktemp)
		trap 'rm -f "$options"' EXIT
		grep -v '^--cfg=CONFIG_KUNIT\(="y"\)\?$' "${argument#@}" >"$options"
		argument=@$options
		;;
	esac
	set -- "$@" "$argument"
	n=$((n - 1))
done
"$SHADOW_RMAP_RUSTC" "$@"
