// SPDX-License-Identifier: GPL-2.0
/* include/linux/prandom.h */

#include <linux/prandom.h>

#include "helpers.h"

void shadow_rmap_prandom_seed_state(struct rnd_state *state, u64 seed)
{
	prandom_seed_state(state, seed);
}
