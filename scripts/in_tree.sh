#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Prints the patch that adds the modules to a kernel's source tree, in drivers/misc/shadow_rmap/.
#
# Usage: scripts/in_tree.sh [FOLDER]    of the kernel's source, or its build folder; default: KDIR, or the
# lab's source
# Apply it in the tree with `git apply` or `patch -p1`; CONFIG_SHADOW_RMAP is the option then.

source "$(dirname "$0")/lab.sh"

misc=drivers/misc here=drivers/misc/shadow_rmap
tree=${1:-${KDIR:-}}
# The tree may be configured or built. A build folder leads to its source.
if [ -z "$tree" ]; then
	tree=$("$TOP/scripts/source.sh")
elif [ ! -f "$tree/$misc/Kconfig" ] && [ -f "$tree/source/$misc/Kconfig" ]; then
	tree=$tree/source
fi
for file in Kconfig Makefile; do
	[ -f "$tree/$misc/$file" ] || die "$tree: no $misc/$file: this is no kernel's source tree"
done
! grep -qs shadow_rmap "$tree/$misc/Makefile" || die "$tree: has the modules already"
[ "$(tail -n 1 "$tree/$misc/Kconfig")" = endmenu ] || die "$tree/$misc/Kconfig: does not end with a menu"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/a/$misc" "$work/b/$here"
cp "$tree/$misc/Kconfig" "$tree/$misc/Makefile" "$work/a/$misc"
cp "$tree/$misc/Kconfig" "$tree/$misc/Makefile" "$work/b/$misc"
sed -i "\$i source \"$here/Kconfig\"" "$work/b/$misc/Kconfig"
# Each of the three modules has an option of its own.
printf 'obj-y\t\t\t\t+= shadow_rmap/\n' >>"$work/b/$misc/Makefile"
(cd "$TOP" && git ls-files -z -- Kbuild Kconfig rust include | xargs -0 cp --parents -t "$work/b/$here")
cd "$work"
# Differences are exit status 1.
git diff --no-index --no-prefix --no-color a b || [ $? = 1 ]
