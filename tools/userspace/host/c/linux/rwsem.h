/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_LINUX_RWSEM_H
#define HOST_LINUX_RWSEM_H

/*
 * One thread runs the host's code, so that no lock is ever waited for: a lock is two counters, and
 * what would deadlock in the kernel, or unlock what is not locked, is a warning.
 */

#include <linux/bug.h>
#include <linux/types.h>
#include <stdbool.h>

struct rw_semaphore {
	int readers;
	int writers;
};

/* Locks that are held now, of all rw_semaphores. */
extern int host_locks_held;

static inline void init_rwsem(struct rw_semaphore *sem)
{
	sem->readers = 0;
	sem->writers = 0;
}

static inline bool rwsem_is_locked(struct rw_semaphore *sem)
{
	return sem->readers || sem->writers;
}

static inline void down_write(struct rw_semaphore *sem)
{
	WARN_ON(rwsem_is_locked(sem));
	sem->writers++;
	host_locks_held++;
}

static inline void up_write(struct rw_semaphore *sem)
{
	WARN_ON(sem->writers != 1);
	sem->writers--;
	host_locks_held--;
}

static inline void down_read(struct rw_semaphore *sem)
{
	WARN_ON(sem->writers);
	sem->readers++;
	host_locks_held++;
}

static inline void up_read(struct rw_semaphore *sem)
{
	WARN_ON(sem->readers < 1);
	sem->readers--;
	host_locks_held--;
}

static inline int down_write_trylock(struct rw_semaphore *sem)
{
	if (rwsem_is_locked(sem))
		return 0;
	down_write(sem);
	return 1;
}

static inline int down_read_trylock(struct rw_semaphore *sem)
{
	if (sem->writers)
		return 0;
	down_read(sem);
	return 1;
}

#endif /* HOST_LINUX_RWSEM_H */
