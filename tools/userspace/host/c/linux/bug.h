/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_LINUX_BUG_H
#define HOST_LINUX_BUG_H

/* The header of tools/testing/shared, with warnings that are counted, each time. */

#include_next <linux/bug.h>

#undef WARN_ON
#undef WARN_ON_ONCE

#define WARN_ON(condition) ({						\
	int __ret_warn_on = !!(condition);				\
	if (__builtin_expect(__ret_warn_on, 0))				\
		host_warning(#condition, __func__, __FILE__, __LINE__);	\
	__builtin_expect(__ret_warn_on, 0);				\
})
#define WARN_ON_ONCE(condition) WARN_ON(condition)

/* What the maple tree's own checks end with. */
#define dump_stack() host_warning("the maple tree's own check", __func__, __FILE__, __LINE__)

void host_warning(const char *condition, const char *function, const char *file, int line);

#endif /* HOST_LINUX_BUG_H */
