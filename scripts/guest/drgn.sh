#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest: processes that have forked from each other are stopped, and debugfs
# host/chains and host/chains.json are saved to $OUT. The machine then stands still until the return
# key is pressed, so that another reader of its memory must find the same. At last drgn reads it in the
# guest itself: the test's own process has no part in that family.
#
# Usage: drgn.sh PYTHON        one that has drgn, as root/ has it
# scripts/drgn_test.py starts it, beside shadow_rmap.ko, try.sh, and root/, where drgn/ has the script and the types

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac
host=/sys/kernel/debug/shadow_rmap/host
# shellcheck source=scripts/guest/try.sh
. ./try.sh

# Each shell writes to its memory after the fork. It prints its variable so that it does not become
# `sleep` itself. That of a=6 exits, so that a fork of its child may reuse its anon_vma.
family() {
	(
		(
			(a=1; sleep 1000; echo $a) &
			(a=2; (a=3; sleep 1000; echo $a) & sleep 1000; echo $a) &
			(a=6; (sleep 1; a=7; (a=8; sleep 1000; echo $a) & sleep 1000; echo $a) &)
			a=4; sleep 1000; echo $a
		) &
		a=5; sleep 1000; echo $a
	) >/dev/null 2>&1 &
	family=$!
	sleep 3
}

# Kernel threads have no program. The two shells that wait for this one stand still without a signal.
stop_all() {
	for process in /proc/[0-9]*; do
		pid=${process#/proc/}
		if [ -e "$process/exe" ] && [ "$pid" -gt $$ ]; then kill -STOP "$pid"; fi
	done
	sleep 1
}

# save FILE NAME: by this shell alone, because a new process would be a part of what is saved.
save() { while IFS= read -r line; do echo "$line"; done <"$host/$1" >"$OUT/$2"; }

# reads_itself FILE OPTION...: reads /proc/kcore.
reads_itself() {
	file=$1
	shift
	chroot root "$python" /drgn/chains.py --types /drgn/types.o "$@" >"$OUT/$file"
}

python=$1
try "the module loads" insmod ./shadow_rmap.ko || exit
family
stop_all
echo $family >$host/pid
save chains one.txt
echo 0 >$host/pid
save chains all.txt
save chains.json all.json
echo "drgn: ready, pid $family"
read -r _ </dev/tty1
save chains.json again.json
try "the machine stood still" cmp "$OUT/all.json" "$OUT/again.json"
for folder in proc dev; do mkdir root/$folder && mount -o bind /$folder root/$folder; done
try "drgn reads the kernel that it runs on" reads_itself kcore.txt --pid $family
try "drgn checks the folios there" reads_itself kcore-folios.txt --folios
exit $failed
