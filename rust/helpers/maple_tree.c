// SPDX-License-Identifier: GPL-2.0
/* include/linux/maple_tree.h: a tree under a lock that is not its own. */

#include <linux/maple_tree.h>
#include <linux/rwsem.h>

#include "helpers.h"

void shadow_rmap_mt_init(struct maple_tree *mt, struct rw_semaphore *lock)
{
	mt_init_flags(mt, MT_FLAGS_LOCK_EXTERN);
	mt_set_external_lock(mt, lock);
}

void shadow_rmap_mt_on_stack(struct maple_tree *mt)
{
	mt_on_stack(*mt);
}
