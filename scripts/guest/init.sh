#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# The first program of a test guest, on both targets. scripts/vm.py starts it.
#
# Mounts the usual file systems, loads the module, runs the command, and delivers the results.
# On UML the root is the file system of the machine, mounted read-only; the only writable folder
# is $OUT.

case ${1:-} in --help) sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/tmp TERM=${TERM:-dumb} TZ=UTC LANG=C
vm=/run/vm
here=${0%/*}
. "$here/vm.env"

quit() {
	# Everything else has been written: a status says that the results are complete.
	echo "$1 $2" >"$OUT/status"
	send_out
	poweroff -f
	sleep 60
}

# x86_64 has no shared folder: the results go through the second serial port.
send_out() {
	sync
	[ "$VM_TARGET" = x86_64 ] || return 0
	tar -c -z -f - -C "$OUT" . >/dev/ttyS1
}

# find_leaks: an object is reported when it is older than five seconds and two scans saw the same
# content and no pointer to it. A kernel without kmemleak, or which has turned it off, ends the run.
leaks=/sys/kernel/debug/kmemleak
find_leaks() {
	[ -n "$VM_KMEMLEAK" ] || return
	sleep 6
	[ -e $leaks ] && echo scan >$leaks && echo scan >$leaks && return
	dmesg >"$OUT/dmesg.txt"
	quit kmemleak 1
}

# Until /proc is mounted busybox must be called by its path: a bare `mount` would be run through
# /proc/self/exe, which on the root of UML is still the machine's /proc and so the UML kernel.
bb=/bin/busybox
if [ "$VM_TARGET" = um ]; then
	$bb mount -t proc proc /proc
	mount -t tmpfs tmpfs /run
	mount -t tmpfs tmpfs /tmp
	mkdir -p $vm
	mount -t hostfs -o "ro,$here" none $vm
	mount -t hostfs -o "$VM_OUT" none $vm/out
else
	$bb mkdir -p /dev /proc /sys /tmp /etc
	$bb mount -t proc proc /proc
	$bb --install -s /bin
fi
mount -t sysfs sysfs /sys
mount -t debugfs debugfs /sys/kernel/debug
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
exec </dev/console >/dev/console 2>&1
if [ "$VM_TARGET" = x86_64 ]; then
	# No byte of the archive may be translated.
	stty -F /dev/ttyS1 raw -echo 115200
fi
echo "vm: booted"
hostname "shadow-rmap-$VM_TARGET"
export VM_TARGET OUT=$vm/out
cd $vm/in || exit 1
if ! echo booted >"$OUT/status"; then
	echo "vm: cannot write to $OUT"
	poweroff -f
fi
rm -f "$OUT/status"

# Leaks of the boot are not the module's.
if find_leaks; then echo clear >$leaks; fi

if [ -n "$VM_MODULE" ]; then
	# shellcheck disable=SC2086 # several parameters
	insmod "./$VM_MODULE" $VM_MODULE_ARGS
	rc=$?
	if [ $rc -ne 0 ]; then
		dmesg >"$OUT/dmesg.txt"
		tail -n 5 "$OUT/dmesg.txt"
		quit insmod $rc
	fi
fi

if [ -n "$VM_SHELL" ]; then
	echo "The guest's files are in $vm/in, results go to \$OUT ($OUT); 'exit' ends the guest."
	PS1="shadow-rmap-$VM_TARGET:\w# " setsid cttyhack sh
	rc=0
else
	sh -c "$VM_COMMAND" </dev/null
	rc=$?
	# The runner looks for reports in the kernel log.
	if find_leaks; then
		cp $leaks "$OUT/kmemleak.txt"
		while read -r line; do echo "<4>kmemleak: $line" >/dev/kmsg; done <"$OUT/kmemleak.txt"
	fi
fi
dmesg >"$OUT/dmesg.txt"
quit command $rc
