/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_LINUX_RCUPDATE_H
#define HOST_LINUX_RCUPDATE_H

/* The header of tools/testing/shared, with callbacks that wait for the end of a step. */

#include_next <linux/rcupdate.h>

#undef call_rcu
#define call_rcu(head, func) host_call_rcu(head, func)

void host_call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head));

#endif /* HOST_LINUX_RCUPDATE_H */
