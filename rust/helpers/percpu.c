// SPDX-License-Identifier: GPL-2.0
/* include/linux/percpu.h: counters that cost their owner one unlocked addition. */

#include <linux/percpu.h>

#include "helpers.h"

static DEFINE_PER_CPU(unsigned long [SHADOW_RMAP_COUNTERS], shadow_rmap_counters);

void shadow_rmap_counter_add(unsigned int index, unsigned long by)
{
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
