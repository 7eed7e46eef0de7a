// SPDX-License-Identifier: GPL-2.0
/* include/linux/sched.h, include/linux/preempt.h */

#include <linux/debug_locks.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/preempt.h>
#include <linux/sched.h>

#include "helpers.h"

/* Whether the caller could be preempted just now. */
bool shadow_rmap_preemptible(void)
{
	return preemptible();
}

/* What an interrupt does that finds another task to be due: here and now. */
void shadow_rmap_preempt_here(void)
{
	preempt_disable();
	set_tsk_need_resched(current);
	set_preempt_need_resched();
	preempt_enable();
}

/* For each item of a long loop: what might_resched() checks first takes longer than an item. */
void shadow_rmap_cond_resched(void)
{
	if (need_resched())
		cond_resched();
}

void shadow_rmap_set_interruptible(void)
{
	set_current_state(TASK_INTERRUPTIBLE);
}

void shadow_rmap_set_running(void)
{
	__set_current_state(TASK_RUNNING);
}

void shadow_rmap_might_sleep(void)
{
	might_sleep();
}

bool shadow_rmap_lockdep_works(void)
{
	return !IS_ENABLED(CONFIG_PROVE_LOCKING) || debug_locks;
}

bool shadow_rmap_tainted(unsigned int flag)
{
	return test_taint(flag);
}

bool shadow_rmap_try_module_get(void)
{
	return try_module_get(THIS_MODULE);
}

void shadow_rmap_module_put(void)
{
	module_put(THIS_MODULE);
}
