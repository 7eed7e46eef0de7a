#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the test guest, with shadow_rmap_torture.ko loaded: one torture. Prints its status each
# second; the kernel log goes to the console meanwhile.
#
# Usage: torture.sh list               writes torture/control to $OUT/control.txt
#        torture.sh bust LINE SECS     writes LINE to torture/control; after SECS it hangs. The bug may
#                                      have damaged the kernel, so the guest does nothing more
#        torture.sh correct LINE SECS  as bust; then unloads the module
#   scripts/torture.py starts it. Exit status: 0 the torture ended, with any result; 2 it was
#   refused, or the module could be unloaded; 3 it hangs; 4 the module cannot be unloaded

torture=/sys/kernel/debug/shadow_rmap/torture

# Uses the shell alone where it can: a damaged kernel may fail to start a program.
uptime() { read -r now rest </proc/uptime; now=${now%.*}; }

# shellcheck disable=SC2034 # all keys are read
show_status() {
	state='' elapsed_ms='' operations='' near_misses='' reports=''
	while IFS=': ' read -r key value; do
		case $key in
		state | elapsed_ms | operations | near_misses | reports) eval "$key=\$value" ;;
		esac
	done <$torture/status
	[ -n "$1" ] || [ "$state" = done ] || return 0
	echo "torture: state=$state elapsed_ms=$elapsed_ms operations=$operations" \
		"near_misses=$near_misses reports=$reports"
}

case ${1:-} in
list)
	cat $torture/control >"$OUT/control.txt" || exit 2
	exit
	;;
bust | correct) [ $# = 3 ] || exit 2 ;;
*)
	sed -n '4,/^$/s/^# \{0,1\}//p' "$0"
	[ "${1:-}" = --help ]
	exit
	;;
esac

dmesg -n 8
echo "<5>torture: begins: $2" >/dev/kmsg
if ! echo "$2" >$torture/control; then
	echo "torture: refused: $2"
	exit 2
fi
# Freed memory may lead into the module, so it must stay loaded.
if [ "$1" = bust ] && rmmod shadow_rmap_torture 2>/dev/null; then
	echo "torture: wrong: the module can be unloaded while a bug is on"
	exit 2
fi
uptime
begin=$now shown=$now
while :; do
	sleep 0.2
	uptime
	second=''
	[ "$now" = "$shown" ] || second=1
	shown=$now
	show_status $second
	[ "$state" != done ] || break
	if [ $((now - begin)) -gt "$3" ]; then
		echo "torture: hangs"
		exit 3
	fi
done
cat $torture/results >"$OUT/results.ktap"
echo "torture: ended"
[ "$1" = correct ] || exit 0
for file in rules stats; do
	cat $torture/$file >"$OUT/$file.txt"
done
rmmod shadow_rmap_torture || exit 4
