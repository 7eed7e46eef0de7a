// SPDX-License-Identifier: GPL-2.0
/* include/linux/percpu.h: counters that cost their owner one unlocked addition. */

#include <linux/percpu.h>

#include "helpers.h"

static DEFINE_PER_CPU(unsigned long [SHADOW_RMAP_COUNTERS], shadow_rmap_counters);

/*
 * this_cpu_add() is one instruction where the CPU has one for it.  User-Mode Linux has not, and
 * would block and unblock its signals each time, which costs more than a whole lookup; its kernel
 * code is not preempted in the middle of anything, so there a plain addition has the same effect,
 * except in interrupts, where nothing is counted.
 */
void shadow_rmap_counter_add(unsigned int index, unsigned long by)
{
	if (IS_ENABLED(CONFIG_UML))
		raw_cpu_add(shadow_rmap_counters[index], by);
	else
		this_cpu_add(shadow_rmap_counters[index], by);
}

unsigned long shadow_rmap_counter_sum(unsigned int index)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(shadow_rmap_counters, cpu)[index]);
	return sum;
}
