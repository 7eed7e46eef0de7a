#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# A shell in a test guest with shadow_rmap.ko loaded; rmapctl and the samples are in its folder, and
# with `kunit` or `torture` shadow_rmap_kunit.ko or shadow_rmap_torture.ko, ready for insmod.
#
# Usage: scripts/vm-shell.sh um|x86_64 [kunit] [torture]

source "$(dirname "$0")/lab.sh"

case ${1:-} in
um | x86_64) ;;
*)
	sed -n '3,7s/^# \{0,1\}//p' "$0"
	[ "${1:-}" = --help ]
	exit
	;;
esac
"$TOP/scripts/setup.sh"
modules=$("$TOP/scripts/module.sh" "$@")
rmapctl=$("$TOP/scripts/rmapctl.sh")
mapfile -t modules <<<"$modules"
files=(--file "$rmapctl:rmapctl")
for module in "${modules[@]:1}"; do files+=(--file "$module"); done
for sample in "$TOP"/samples/*.scn; do files+=(--file "$sample"); done
exec "$TOP/scripts/vm.py" --target "$1" --module "${modules[0]}" "${files[@]}" --shell
