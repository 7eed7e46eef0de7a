// SPDX-License-Identifier: GPL-2.0
/*
 * The types of the kernel's headers as debug information, for tools/drgn/target.py: for a kernel of
 * which no vmlinux with debug information is at hand.
 */

#include <generated/utsrelease.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/pid_namespace.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/xarray.h>

/* The kernel that these types fit. */
MODULE_INFO(types_release, UTS_RELEASE);
