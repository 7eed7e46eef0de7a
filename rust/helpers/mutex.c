// SPDX-License-Identifier: GPL-2.0
/* include/linux/mutex.h: one that needs no initialisation. */

#include <linux/mutex.h>

#include "helpers.h"

static DEFINE_MUTEX(shadow_rmap_take_all);

void shadow_rmap_take_all_lock(void)
{
	mutex_lock(&shadow_rmap_take_all);
}

void shadow_rmap_take_all_unlock(void)
{
	mutex_unlock(&shadow_rmap_take_all);
}
