#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Compares the litmus tests of tools/litmus/ with the memory model of the kernel source in use
# (tools/memory-model; KDIR=FOLDER is your source). Without a herd7 that is new enough in PATH,
# Debian's is unpacked into the cache. Leaves out/litmus.json.
#
# Usage: scripts/litmus.sh [--help | RULE]     RULE: R17, or one test: R17+no-wait; default: all.
# The last line is `litmus: N of N as expected`; the exit status is 0 only then.

source "$(dirname "$0")/lab.sh"

# The first version that knows the variant that the model of Linux 7.3 asks for, and where it is.
HERD7_MIN=7.58
HERD7_SUITE=sid

[ "${1:-}" != --help ] || usage 0

usable_herd7() {
	[ -x "$1" ] && version_ge "$("$1" -version 2>/dev/null | cut -d, -f1)" "$HERD7_MIN"
}

unpack_herd7() {
	[ ! -x "$1/bin/herd7" ] || return 0
	say "herd7 >= $HERD7_MIN is not in PATH: taking Debian's (suite $HERD7_SUITE)"
	unpack_program "$1" herd7 "$HERD7_SUITE" "herdtools7 libgmp10" \
		-set-libdir "$1/usr/share/herdtools7/herd"
}

[ -z "${KDIR:-}" ] || [ -d "$KDIR" ] || die "KDIR=$KDIR: no such folder"
"$TOP/scripts/setup.sh"
source_dir=${KDIR:-$("$TOP/scripts/source.sh")}
# A build folder leads to its source.
[ -d "$source_dir/tools/memory-model" ] || [ ! -d "$source_dir/source" ] || source_dir=$source_dir/source
model=$(cd "$source_dir" && pwd -P)/tools/memory-model
[ -f "$model/linux-kernel.cfg" ] ||
	die "$source_dir has no tools/memory-model; KDIR= is to be a kernel's source or its build folder"
herd7=$(command -v herd7 || true)
if ! usable_herd7 "$herd7"; then
	folder=$CACHE/herd7-$HERD7_MIN-$HERD7_SUITE
	with_lock "$folder" unpack_herd7 "$folder"
	herd7=$folder/bin/herd7
	usable_herd7 "$herd7" || die "$herd7 is not herd7 >= $HERD7_MIN; remove $folder to fetch it again"
fi
"$TOP/scripts/litmus.py" --herd7 "$herd7" --model "$model" "$@"
