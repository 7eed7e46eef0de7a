// SPDX-License-Identifier: GPL-2.0
/* include/linux/rcupdate.h */

#include <linux/rcupdate.h>

#include "helpers.h"

/* How many read sections this task is in; 0 where the kernel does not count them. */
int shadow_rmap_rcu_depth(void)
{
	return rcu_preempt_depth();
}
