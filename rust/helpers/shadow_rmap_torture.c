// SPDX-License-Identifier: GPL-2.0
/* The C helpers of shadow_rmap_torture.ko: no object may belong to two modules. */

#define SHADOW_RMAP_TRACE_SYSTEM shadow_rmap_torture

#include "cpumask.c"
#include "debugfs.c"
#include "interval_tree.c"
#include "maple_tree.c"
#include "mm.c"
#include "mutex.c"
#include "percpu.c"
#include "prandom.c"
#include "ratelimit.c"
#include "rcu.c"
#include "rwsem.c"
#include "sched.c"
#include "spinlock.c"
#include "trace.c"
