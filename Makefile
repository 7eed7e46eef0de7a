# SPDX-License-Identifier: GPL-2.0
#
# `make help` lists the targets; each does its own set-up, and can be repeated.

VM ?= um
MAKEFLAGS += --no-print-directory
export KDIR KERNEL_TARBALL KERNEL

# What was given on the command line or in the environment. A script refuses what it does not know.
asked = $(foreach n,BUST BUG REPLAY SECS SEED THREADS PROTOCOL MODE DEPTH LOAD STAY FAIL REPEAT HOURS KASAN,\
	$(if $($n),'$n=$($n)')) $(if $(filter file,$(origin VM)),,'VM=$(VM)')

# A build folder in KDIR= is used as it is, not its source alone.
own = $(if $(KDIR),$(shell [ -f '$(KDIR)/include/config/auto.conf' ] && echo VARIANT=own))

.DEFAULT_GOAL := module
.PHONY: module demo test litmus userspace schedules fuzz random stress host torture soak experiment bench check judge programs \
	probe install modules_install in-tree \
	judge-self-test judge-live mutants vm rmapctl clean help

help:
	@sed -n 's/^#: \{0,1\}//p' Makefile

#: KDIR=FOLDER is your kernel: its source tree or its build folder. make, make install and make probe are
#: for the kernel of a build folder; all other targets take its source alone.
#: KERNEL_TARBALL=FILE is the source of another one. KERNEL=7.2 is Debian's older source instead of 7.3.
#:
#: make               shadow_rmap.ko for the lab's kernel (VM=um or VM=x86_64), Debian's (VM=debian), or
#:                    that of the build folder in KDIR=.
#:                    WITH="kunit torture" builds shadow_rmap_kunit.ko and shadow_rmap_torture.ko too
module:
	@$(own) scripts/module.sh $(VM) $(WITH) $(if $(CLIPPY),CLIPPY=$(CLIPPY)) $(if $(W),W=$(W))

#: make demo          boots the test VM and shows real processes, their chains, the comparison; VM=um
#:                    (default), VM=x86_64 or VM=debian: Debian's own kernel, as Debian compiled it
demo:
	@scripts/demo.sh $(VM)

#: make probe         says what the build folder of KDIR= lacks for the modules (default: this kernel's)
probe:
	@bash -c '. scripts/lab.sh && toolchain && scripts/probe.sh'

#: make install       builds the modules for KDIR= (default: this kernel) and installs them below
#:                    INSTALL_MOD_PATH=; VM=debian is Debian's kernel, WITH= as above.
#:                    modules_install is the same
install modules_install:
	@$(if $(INSTALL_MOD_PATH),INSTALL_MOD_PATH='$(INSTALL_MOD_PATH)') scripts/install.sh $(filter debian,$(VM)) $(WITH)

#: make in-tree       prints the patch that adds the modules to the kernel's source in KDIR=
in-tree:
	@scripts/setup.sh
	@scripts/in_tree.sh

#: make test          everything that must pass; VM=um, x86_64 or debian: what is about this machine.
#:                    With KERNEL=7.2 the step um-guest alone
test:
	@scripts/setup.sh
	@scripts/test.py $(if $(filter file,$(origin VM)),,--only '$(VM)-')

#: make litmus        the order of each rule, in the kernel's own memory model; RULE=R17
litmus:
	@scripts/litmus.sh $(if $(RULE),'$(RULE)')

#: make userspace     the KUnit suites as a program, without a kernel, in seconds; SEED=; NAME= runs
#:                    the tests with NAME in their names
userspace:
	@scripts/userspace.sh $(asked) $(NAME)

#: make mutants       changes the engine in one place after the other, and lists the changes that no test
#:                    in user space notices; hours: SHARD=K/N does each Nth, FILE=rust/rmap/fork.rs one file
mutants:
	@scripts/setup.sh
	@scripts/mutants.sh $(if $(SHARD),SHARD=$(SHARD)) $(FILE)

#: make schedules     explores the engine under schedules in user space: BUG= (a type, none, list) SEED=
#:                    SECS= REPLAY=out/schedules/NAME.schedule
schedules:
	@scripts/setup.sh
	@scripts/schedules.py $(asked)

#: make fuzz          the host's own mm/ and the shadow do the same random steps, each by itself, and
#:                    are compared; SECS= STEPS= SEED= JOBS= VARIANT=sanitized PATCH= REPLAY=
fuzz:
	@scripts/setup.sh
	@scripts/fuzz.py $(foreach n,secs:SECS steps:STEPS seed:SEED jobs:JOBS variant:VARIANT \
		patch:PATCH replay:REPLAY,$(if $($(lastword $(subst :, ,$n))),\
		--$(firstword $(subst :, ,$n))='$($(lastword $(subst :, ,$n)))'))

#: make random        random steps of processes, with a check after each: STEPS= in each MODE= (pinned,
#:                    mergeable, both) SEED= VM=; in QEMU also with swap, KSM, two nodes;
#:                    SHIFTS=1: short rounds in which boundaries between VMAs shift; FAIL=1: allocations fail
#: make stress        processes and threads at full speed while checks run: SECS= MODE= SEED= VM=
#: make host          stress-ng while the host's own structures are checked: SECS= VM=
random stress host:
	@scripts/setup.sh
	@scripts/live.py $@ $(foreach n,target:VM mode:MODE steps:STEPS secs:SECS seed:SEED,\
		$(if $($(lastword $(subst :, ,$n))),\
		--$(firstword $(subst :, ,$n))='$($(lastword $(subst :, ,$n)))')) $(if $(SHIFTS),--shifts) $(if $(FAIL),--fail)

#: make torture       each deliberate bug is caught; with the correct rules nothing is reported;
#:                    BUST= SECS= SEED= THREADS= VM= PROTOCOL= MODE= DEPTH= LOAD= STAY= FAIL= REPEAT=, see
#:                    scripts/torture.py --help
torture:
	@scripts/setup.sh
	@scripts/torture.py $(asked)

#: make soak          the correct rules for HOURS=; goes on where it stopped; VM= has it stay on one
#:                    machine
soak:
	@scripts/setup.sh
	@scripts/torture.py --soak $(asked)

#: make experiment    E=2004, 2007, 2010 or 2011: a question from the mails, answered
experiment:
	@scripts/setup.sh
	@scripts/experiments.py $(E) $(asked)

#: make programs      python3, cc, stress-ng and tests of the kernel, unmodified, with memory of the device
programs:
	@scripts/setup.sh --programs
	@scripts/preload.py

#: make bench         times the shadow beside the host's own rmap in one boot
bench:
	@scripts/setup.sh
	@scripts/bench.py

#: make check         formatting, clippy, unsafe rooms, rules, compile-fail cases, C style
check:
	@scripts/setup.sh
	@scripts/check.sh

#: make judge         a change of the kernel's anonymous reverse map (PATCH=FILE, or KDIR=) against the
#:                    rules: first in user space, then its kernel; SECS= SEED= STAGE=1 or STAGE=2
judge:
	@$(if $(PATCH)$(KDIR),,echo "error: give PATCH=FILE, KDIR=FOLDER or both" >&2; exit 2)
	@scripts/setup.sh
	@scripts/judge.py $(if $(PATCH),--patch '$(PATCH)') $(if $(SECS),--secs '$(SECS)') \
		$(if $(SEED),--seed '$(SEED)') $(if $(STAGE),--stage '$(STAGE)')

#: make judge-self-test   the judge notices each of its deliberately broken kernels; SECS= SEED=
judge-self-test:
	@scripts/setup.sh
	@scripts/judge_self_test.py $(if $(SECS),--secs '$(SECS)') $(if $(SEED),--seed '$(SEED)')

#: make judge-live    live mappings notice those kernels, or why they do not; SECS= SEED=
judge-live:
	@scripts/setup.sh
	@scripts/judge_self_test.py --live $(if $(SECS),--secs '$(SECS)') $(if $(SEED),--seed '$(SEED)')

#: make vm            a shell in the test VM with the module loaded; VM=um (default), VM=x86_64
#:                    or VM=debian; WITH="kunit torture" puts these modules into its folder
vm:
	@scripts/setup.sh
	@scripts/vm.py --target $(VM) --shell $(WITH)

#: make rmapctl       the user-space tool alone; prints its path
rmapctl:
	@scripts/rmapctl.sh

#: make clean         removes what was built here; the cache of kernels stays
clean:
	rm -rf build out tools/*/target tools/*/*/target "$${XDG_CACHE_HOME:-$$HOME/.cache}/shadow-rmap/cargo$(CURDIR)"
