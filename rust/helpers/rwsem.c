// SPDX-License-Identifier: GPL-2.0
/* include/linux/rwsem.h */

#include <linux/rwsem.h>

#include "helpers.h"

void shadow_rmap_init_rwsem(struct rw_semaphore *sem, const char *name,
			    struct lock_class_key *key)
{
	__init_rwsem(sem, name, key);
}

int shadow_rmap_rwsem_is_locked(struct rw_semaphore *sem)
{
	return rwsem_is_locked(sem);
}

bool shadow_rmap_rwsem_is_contended(struct rw_semaphore *sem)
{
	return rwsem_is_contended(sem);
}

bool shadow_rmap_rwsem_is_held(struct rw_semaphore *sem)
{
	return !IS_ENABLED(CONFIG_LOCKDEP) || lockdep_is_held(sem);
}

void shadow_rmap_down_write_nested(struct rw_semaphore *sem, int subclass)
{
	down_write_nested(sem, subclass);
}

/* For many of one class, all taken under @outer. */
void shadow_rmap_down_write_nest_lock(struct rw_semaphore *sem, struct rw_semaphore *outer)
{
	down_write_nest_lock(sem, outer);
}

/* What up_read() does besides: @sem itself is gone. */
void shadow_rmap_rwsem_abandon(struct rw_semaphore *sem)
{
	rwsem_release(&sem->dep_map, _RET_IP_);
}
