# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# Tests of debugfs host/: the host's own reverse map of any process. Sourced by test.sh, never run.

host=/sys/kernel/debug/shadow_rmap/host

# refuses FILE VALUE ERROR: what is written is refused with this error, and changes nothing.
refuses() {
	was=$(cat "$host/pid")
	(echo "$2" >"$host/$1") 2>/tmp/refused && { echo "$1 took $2"; return 1; }
	grep -qF "$3" /tmp/refused || { cat /tmp/refused; return 1; }
	[ "$(cat "$host/pid")" = "$was" ]
}

bad_pids() {
	for file in pid check; do
		for value in '' x -1 +1 1x 0x1 '1 2' 1.0; do
			refuses $file "$value" "Invalid argument" || return 1
		done
		refuses $file 99999999999 "Numerical result out of range" || return 1
		refuses $file 2147483647 "No such process" || return 1
		# Process 2 is kthreadd.
		refuses $file 2 "Invalid argument" || return 1
	done
}

chosen() { echo "$1" >$host/pid && [ "$(cat $host/pid)" = "$1" ]; }

# shows_nothing ERROR: no file that shows a process can be opened.
shows_nothing() {
	for file in chains chains.json chains.dot check; do
		cat $host/$file 2>/tmp/refused && { echo "$file can be read"; return 1; }
		grep -qF "$1" /tmp/refused || { cat /tmp/refused; return 1; }
	done
}

# The pid names this process alone, also when another one gets the number.
ended_process() {
	sleep 1000 &
	chosen $! && cat $host/chains && kill $!
	wait $!
	shows_nothing "No such process"
	rc=$?
	chosen 0 && return $rc
}

process_1() { must chosen 1 && cat $host/chains && must grep -q "^mm 1 (pid 1 " $host/chains; }

# A process with children and a grandchild, all of which have written to their memory.
family() {
	(
		(
			(a=1; sleep 1000; echo $a) &
			a=2; sleep 1000; echo $a
		) &
		a=3; sleep 1000; echo $a
	) >/dev/null 2>&1 &
	family=$!
	sleep 1
}

end_family() {
	for pid in $(grandchildren $family) $family; do kill "$pid"; done 2>/dev/null
	wait
}

# grandchildren PID: all that have this one as an ancestor.
grandchildren() {
	for pid in $(grep -l "^PPid:[^0-9]*$1\$" /proc/[0-9]*/status 2>/dev/null | cut -d/ -f3); do
		grandchildren "$pid"
		echo "$pid"
	done
}

a_process_and_its_family() {
	must chosen $family && cat $host/chains | tee /tmp/chains || return 1
	must grep -q "^host: mms=1 vmas=[1-9].* pages=0$" /tmp/chains &&
		must grep -q "^mm 1 (pid $family " /tmp/chains &&
		must grep -q "^anon_vma .* (root): .*, [1-9][0-9]* foreign$" /tmp/chains || return 1
	must chosen 0 && cat $host/chains | tee /tmp/chains || return 1
	must grep -q "^  vma .*, chain [0-9]* -> [0-9]* -> [0-9]*" /tmp/chains &&
		must grep -q "(child of [0-9]*): " /tmp/chains || return 1
	cat $host/chains.json >/tmp/json && must grep -q '^{"version":1,"source":"host","mms":\[{"id":1,"pid":1,' /tmp/json &&
		must grep -q '"pages":\[\]}$' /tmp/json || return 1
	cat $host/chains.dot >/tmp/dot && must grep -q "^digraph" /tmp/dot && must grep -q "^}" /tmp/dot
}

# sound [FILE]: the last line of a check says that nothing is wrong, and that something was looked at.
sound() {
	cat "${1:-$host/check}" >/tmp/check || return 1
	tail -n 5 /tmp/check
	tail -n 1 /tmp/check | grep -qE \
		'^host check: mms=[1-9][0-9]* vmas=[1-9][0-9]* anon_vmas=[1-9][0-9]* chains=[1-9][0-9]* violations=0$'
}

# One write, one answer, which this open file alone has; host/pid does not change.
one_answer() {
	exec 3<>$host/check 4<>$host/check || return 1
	must chosen 0 && must test -z "$(cat <&3)" && echo $family >&3 && echo 1 >&4 &&
		cat <&3 >/tmp/first && cat <&4 >/tmp/second && echo $family >&3 && cat <&3 >/tmp/third
	rc=$?
	exec 3<&- 4<&-
	cat /tmp/first /tmp/second /tmp/third
	[ $rc = 0 ] && must sound /tmp/first && must sound /tmp/second && must grep -q "mms=1 " /tmp/first &&
		must cmp /tmp/first /tmp/third && ! cmp -s /tmp/first /tmp/second && must chosen 0
}

# Kernel addresses in hexadecimal or decimal: x86-64, and the memory of User-Mode Linux.
no_address() {
	cat $host/chains $host/chains.json $host/chains.dot $host/check >/tmp/all || return 1
	! grep -E '0xffff[0-9a-f]{12}|18446[0-9]{15}|0x[67][0-9a-f]{7}[^0-9a-f]|[^0-9]1[678][0-9]{8}[^0-9]' \
		/tmp/all
}

reader_stops() {
	for file in chains chains.json chains.dot check; do
		head -c 20 $host/$file >/tmp/part && must test "$(wc -c </tmp/part)" = 20 || return 1
	done
	must within 120 not_in_use
}

open_host_file_holds() {
	exec 3<>$host/check || return 1
	echo 0 >&3 && must unload_fails
	rc=$?
	exec 3<&-
	must within 120 not_in_use && return $rc
}

# Processes fork, exec and exit all the time. A check must never take that for a fault.
sound_under_load() {
	loads='' checks=0
	for _ in 1 2 3; do
		while :; do (ls / | cat; (: | cat) & wait); done >/dev/null 2>&1 &
		loads="$loads $!"
	done
	end=$(($(date +%s) + $1)) rc=0
	while [ $rc = 0 ] && [ "$(date +%s)" -lt $end ]; do
		sound >/tmp/sound && cat $host/chains.json >/dev/null || { rc=1; cat /tmp/check /tmp/sound; }
		checks=$((checks + 1))
	done
	# shellcheck disable=SC2086 # a list
	kill $loads
	wait
	echo "$checks checks"
	return $rc
}

# many_processes_are_there: the scenario has forked all of its processes.
many_processes_are_there() { grep -q "^.*: line 6, " /tmp/many.log; }

# 500 processes that fork from one, with 50,000 VMAs that are linked to its anon_vmas.
many_processes() {
	cat >/tmp/many.scn <<-END
		map main big 100
		touch main big all write 1
		protect main big 1..100/2 r
		tree main 1 499 write big 0..1 7
		repeat 300000
		  touch main big 2 read 1
		end
	END
	head -c 409600 /dev/zero >/tmp/zeroes
	./rmapctl run --no-check --device /tmp/zeroes /tmp/many.scn >/tmp/many.log 2>&1 &
	family=$!
	within 300 many_processes_are_there
	sound
	rc=$?
	kill $family
	wait $family
	must test $rc = 0 && must grep -qE '^host check: mms=5[0-9]{2} vmas=[5-9][0-9]{4} .* violations=0$' /tmp/check
}

# rmapctl reads the same files.
rmapctl_shows_the_host() {
	./rmapctl show --host 1 --format tree | tee /tmp/tree
	must grep -q "^anon_vma 1 (root) refcount=[1-9]" /tmp/tree &&
		must grep -q "^ *[*] .*(1) [0-9a-f]*-[0-9a-f]* .* chain [0-9]" /tmp/tree || return 1
	./rmapctl top --once --rows 3 | tee /tmp/top
	must grep -q "^top: mms=[1-9][0-9]* vmas=[1-9]" /tmp/top || return 1
	./rmapctl check --host >/tmp/checked && must sound /tmp/checked || return 1
	./rmapctl check --host 2
	must test $? = 2
}

host_tests() {
	for f in chains chains.json chains.dot; do
		try "host: $f has mode 0400" mode_is 400 $host/$f
	done
	for f in pid check; do try "host: $f has mode 0600" mode_is 600 $host/$f; done
	try "host: bad pids are refused" bad_pids
	try "host: a process that has ended" ended_process
	try "host: chains of process 1" process_1
	try "host: check of process 1" sound
	family
	try "host: a process and its family" a_process_and_its_family
	try "host: check of all processes" sound
	try "host: one write, one answer" one_answer
	try "host: no kernel address is shown" no_address
	try "host: rmapctl shows, checks and measures it" rmapctl_shows_the_host
	end_family
	try "host: a reader stops in the middle" reader_stops
	try "host: unload is refused while a file is open" open_host_file_holds
	try "host: check of all, under load" sound_under_load "$1"
}
