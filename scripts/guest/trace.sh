# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# Tests of the trace events, through tracefs. Sourced by test.sh, debian.sh and again.sh, never run.

tracing=/sys/kernel/tracing

# The counter puts the events of all CPUs in order. The names of commands are not recorded: that patches
# the scheduler each time an event is turned on, and the emulated CPUs once ran into the breakpoint of such
# a patch after it was over.
tracefs() {
	[ -e $tracing/trace ] || mount -t tracefs tracefs $tracing || return 1
	echo 0 >$tracing/options/record-cmd || return 1
	echo counter >$tracing/trace_clock && cat $tracing/trace_clock && grep -qF '[counter]' $tracing/trace_clock
}

# all_events SYSTEM: the module has these events, and no others.
all_events() {
	cat >/tmp/events <<-END
		clone fork lookup_found lookup_stale lookup_waited merge move move_page prepare reuse unlink
	END
	for event in "$tracing/events/$1"/*/; do basename "$event"; done | sed 's/^shadow_rmap_//' | xargs >/tmp/there
	cat /tmp/there
	must cmp /tmp/events /tmp/there
}

# traced SYSTEM EVENT COMMAND...: /tmp/traced is the events while the command runs, where EVENT (or
# "", all) is on: only `event: fields`.
traced() {
	switch=$tracing/events/$1/${2:+shadow_rmap_$2/}enable
	shift 2
	echo >$tracing/trace && echo 1 >"$switch" && "$@" >/tmp/command
	rc=$?
	echo 0 >"$switch"
	cat /tmp/command
	# Another line would not be an event of the module.
	grep -v '^#' $tracing/trace | sed 's/^.*: shadow_rmap_/shadow_rmap_/' | tee /tmp/traced
	return $rc
}

# run_scenario NAME: of the two below, on one CPU. The list of new pages of another CPU may hold a reference on
# a page; then the host copies the page for its last user instead of moving it, and there is no event.
run_scenario() { "$1" >/tmp/events.scn && timeout 600 taskset 1 ./rmapctl run /tmp/events.scn; }

# All events of live mappings but a merge.
everything() {
	cat <<-END
		map main buf 8
		show
		map main pair 4
		protect main pair 2..4 r
		touch main pair 0 write 1
		protect main pair 2..4 rw
		touch main pair 3 write 1
		unmap main pair all
		touch main buf 0..4 write 1
		fork main child
		touch child buf 0 write 2
		fork child grand
		exit child
		fork grand last
		move last buf 4..8 as moved
		exit last
		exit main
		touch grand buf 2 write 4
		check
	END
}

one_merge() {
	cat <<-END
		mode mergeable
		map main buf 8
		show
		touch main buf 0..4 write 1
		protect main buf 2..4 r
		check
		protect main buf 2..4 rw
		check
	END
}

# What it causes, but for lines that come twice: V+N is a VMA, and P+N an index; V and P are those of the
# first VMA.
events_of_everything() {
	cat <<-END
		prepare: vma=V+2 neighbour=0 given=1
		prepare: vma=V+1 neighbour=V+2 given=1
		unlink: vma=V+2 links=1 emptied=0
		unlink: vma=V+1 links=1 emptied=1
		prepare: vma=V+0 neighbour=0 given=1
		fork: parent=V+0 child=V+4 links=1 own=1
		fork: parent=V+4 child=V+6 links=2 own=1
		unlink: vma=V+4 links=2 emptied=0
		reuse: parent=V+6 child=V+8 place=2
		fork: parent=V+6 child=V+8 links=3 own=0
		clone: source=V+8 copy=V+9 links=3
		move: from=V+8 to=V+9 pages=4
		clone: source=V+8 copy=V+10 links=3
		unlink: vma=V+8 links=3 emptied=0
		unlink: vma=V+10 links=3 emptied=0
		unlink: vma=V+9 links=3 emptied=0
		unlink: vma=V+0 links=1 emptied=0
		move_page: vma=V+6 index=P+2
		lookup_found: index=P+0 locked=1
		lookup_found: index=P+1 locked=1
		lookup_found: index=P+2 locked=1
		lookup_found: index=P+3 locked=1
		unlink: vma=V+6 links=3 emptied=3
	END
}

events_of_one_merge() {
	cat <<-END
		merge: survivor=V+1 gone=V+0 links=1
		merge: survivor=V+1 gone=V+2 links=1
	END
}

# relative: the numbers in /tmp/traced, as the lists above have them.
relative() {
	awk '
		FNR == NR { if ($1 == "main" && $4 == "vma") { v = $5; p = $7; gsub(/[^0-9.]|[.][.].*/, "", p) }; next }
		{
			line = substr($1, length("shadow_rmap_") + 1)
			for (i = 2; i <= NF; i++) {
				split($i, field, "=")
				key = field[1]; value = field[2]
				if (key == "index") value = "P+" (value - p)
				else if (key !~ /^(given|links|own|place|emptied|pages|locked)$/ && value > 0)
					value = "V+" (value - v)
				line = line " " key "=" value
			}
			print line
		}' /tmp/command /tmp/traced
}

# as_expected SCENARIO EVENT: /tmp/traced is what is expected of the event ("", all).
as_expected() {
	relative | sort -u >/tmp/got
	"events_of_$1" | grep "^${2:-.*}: " | sort -u >/tmp/wanted
	cat /tmp/got
	must test -s /tmp/wanted && must cmp /tmp/wanted /tmp/got
}

# fires EVENT SCENARIO: it alone is on, and it alone is shown.
fires() { must traced shadow_rmap "$1" run_scenario "$2" && as_expected "$2" "$1"; }

all_are_off() {
	must run_scenario everything || return 1
	! grep -v '^#' $tracing/trace
}

# trace_cmd ARGUMENT...: the program of another release, beside its libraries and its loader.
trace_cmd() { ./trace-cmd/ld-linux-x86-64.so.2 --library-path ./trace-cmd ./trace-cmd/trace-cmd "$@"; }

# trace-cmd reads the formats of the events, and shows the same as tracefs.
trace_cmd_records() {
	everything >/tmp/events.scn
	must trace_cmd record -C counter -e shadow_rmap -o /tmp/trace.dat taskset 1 ./rmapctl run /tmp/events.scn \
		>/tmp/command || return 1
	trace_cmd report -i /tmp/trace.dat >/tmp/report || return 1
	sed -n 's/^.*: shadow_rmap_/shadow_rmap_/p' /tmp/report >/tmp/traced
	as_expected everything ''
}

# trace_tests: the module is loaded.
trace_tests() {
	try "trace: tracefs" tracefs || return
	try "trace: the events" all_events shadow_rmap
	for event in clone fork lookup_found move move_page prepare reuse unlink; do
		try "trace: $event" fires $event everything
	done
	try "trace: merge" fires merge one_merge
	echo >$tracing/trace
	try "trace: off again, there are none" all_are_off
}
