# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Which of Debian's packages is the kernel's source. Sourced, never run; needs lab.sh.

# Suites of the archive in which a version is looked for, one after the other.
SOURCE_SUITES=("$KERNEL_SUITE" forky sid)

# versions: what may be taken, the best one first.
versions() { if [ -n "${KERNEL:-}" ]; then echo "$KERNEL"; else echo "${KERNEL_VERSIONS[*]}"; fi; }

# sources: the source packages in the lists of `apt_options`.
sources() { apt-cache "${apt_options[@]}" search --names-only '^linux-source-[0-9.]+$' | cut -d' ' -f1; }

# find_in_archive PACKAGE: sets `suite`, and `seen`, which is what there is instead.
find_in_archive() {
	local apt_folder apt_options found
	seen=
	for suite in "${SOURCE_SUITES[@]}"; do
		private_apt "$suite"
		found=$(sources)
		rm -rf "$apt_folder"
		[ -n "$found" ] ||
			die "the lists of $suite have no kernel's source: is the archive reachable? See" \
				"$CACHE/log/apt-$suite.log"
		! grep -qx "$1" <<<"$found" || return 0
		seen+=" $suite: $(xargs <<<"$found");"
	done
	return 1
}

# choose_source: sets `package`, and `suite` unless the cache has its source. What the archive does
# not have is not looked for again on the same day.
choose_source() {
	local version best missing seen=
	best=$(versions | cut -d' ' -f1)
	for version in $(versions); do
		package=linux-source-$version suite=
		missing=$CACHE/no-$package
		if [ ! -d "$CACHE/source-$package" ]; then
			[ -z "$(find "$missing" -mmin -1440 2>/dev/null)" ] || continue
			find_in_archive "$package" || {
				touch "$missing"
				continue
			}
			rm -f "$missing"
		fi
		[ "$version" = "$best" ] ||
			say "Debian's archive has no linux-source-$best: taking $package (KERNEL=$version) instead"
		return
	done
	die "Debian's archive has no source of Linux $(versions | sed 's/ / or /');${seen:- (looked for today,"\
		"see $missing)} give one as KERNEL_TARBALL= or KDIR="
}
