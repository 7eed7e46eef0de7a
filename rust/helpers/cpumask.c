// SPDX-License-Identifier: GPL-2.0
/* include/linux/cpumask.h */

#include <linux/cpumask.h>

#include "helpers.h"

bool shadow_rmap_cpu_online(unsigned int cpu)
{
	return cpu < nr_cpu_ids && cpu_online(cpu);
}
