// SPDX-License-Identifier: GPL-2.0
/* include/linux/ratelimit.h */

#include <linux/ratelimit.h>

#include "helpers.h"

/* Returns whether one more line that user space has caused may go to the log. */
bool shadow_rmap_may_warn(void)
{
	static DEFINE_RATELIMIT_STATE(lines, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&lines);
}
