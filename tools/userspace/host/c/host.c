// SPDX-License-Identifier: GPL-2.0
/*
 * The host's own code, in one compilation unit. What is in cut/ and beside vma_internal.h was
 * derived from the kernel's source by scripts/host_userspace.py; nothing of it is kept here.
 */

#include "generated/bit-length.h"
#include "maple-shared.h"
#include "driver.h"
#include "early.h"
#include "vma_internal.h"
#include "cut/types.h"
#include "mm/vma.h"
#include "adaptors.h"
#include "cut/inline.h"
#include "cut/interval_tree.c"
#include "locked.h"
#include "mm/vma_init.c"
#include "mm/vma_exec.c"
#include "mm/vma.c"
#include "cut/rmap.c"
#include "cut/memory.c"
#include "cut/mmap.c"
#include "cut/mprotect.c"
#include "cut/mremap.c"
#include "damage.c"
#include "driver.c"
