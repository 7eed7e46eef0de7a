#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# A shell in a test guest with the module loaded; rmapctl and the samples are in its folder.
#
# Usage: scripts/vm-shell.sh um|x86_64

source "$(dirname "$0")/lab.sh"

case ${1:-} in
um | x86_64) ;;
*)
	sed -n '3,6s/^# \{0,1\}//p' "$0"
	[ "${1:-}" = --help ]
	exit
	;;
esac
"$TOP/scripts/setup.sh"
module=$("$TOP/scripts/module.sh" "$1")
rmapctl=$("$TOP/scripts/rmapctl.sh")
files=(--file "$rmapctl:rmapctl")
for sample in "$TOP"/samples/*.scn; do files+=(--file "$sample"); done
exec "$TOP/scripts/vm.py" --target "$1" --module "$module" "${files[@]}" --shell
