// SPDX-License-Identifier: GPL-2.0
/* include/linux/percpu.h: counters that cost their owner one unlocked addition. */

#include <linux/percpu.h>

#include "helpers.h"

static DEFINE_PER_CPU(unsigned long [SHADOW_RMAP_COUNTERS], shadow_rmap_counters);

/*
 * this_cpu_add() is one instruction where the CPU has one for it. User-Mode Linux has not, and
 * would block and unblock its signals each time, which costs more than a whole lookup; its kernel
 * code is not preempted in the middle of anything, so there rust/kernel_ext/percpu.rs adds to this
 * CPU's counters itself, with the same effect except in interrupts, where nothing is counted.
 */
unsigned long *shadow_rmap_counters_here(void)
{
	return raw_cpu_ptr(shadow_rmap_counters);
}

void shadow_rmap_counter_add(unsigned int index, unsigned long by)
{
	this_cpu_add(shadow_rmap_counters[index], by);
}

/* Four counters in a row: an operation counts all that it did in one call, by registers. */
void shadow_rmap_counters_add(unsigned int first, unsigned long a, unsigned long b,
			      unsigned long c, unsigned long d)
{
	this_cpu_add(shadow_rmap_counters[first], a);
	this_cpu_add(shadow_rmap_counters[first + 1], b);
	this_cpu_add(shadow_rmap_counters[first + 2], c);
	this_cpu_add(shadow_rmap_counters[first + 3], d);
}

unsigned long shadow_rmap_counter_sum(unsigned int index)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(shadow_rmap_counters, cpu)[index]);
	return sum;
}
