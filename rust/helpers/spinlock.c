// SPDX-License-Identifier: GPL-2.0
/* include/linux/spinlock.h */

#include <linux/spinlock.h>

#include "helpers.h"

bool shadow_rmap_spin_is_held(spinlock_t *lock)
{
	return !IS_ENABLED(CONFIG_LOCKDEP) || lockdep_is_held(lock);
}

void shadow_rmap_spin_lock_nested(spinlock_t *lock, int subclass)
{
	spin_lock_nested(lock, subclass);
}

/* For many of one class, all taken under @outer. */
void shadow_rmap_spin_lock_nest_lock(spinlock_t *lock, struct rw_semaphore *outer)
{
	spin_lock_nest_lock(lock, outer);
}

/* What spin_unlock() does besides: @lock itself is gone. */
void shadow_rmap_spin_abandon(spinlock_t *lock)
{
	spin_release(&lock->dep_map, _RET_IP_);
	preempt_enable();
}
