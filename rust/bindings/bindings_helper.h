/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for shadow_rmap: the host's private layouts, our ABI, our helpers.
 */
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/kallsyms.h>
#include <linux/mm.h>
#include <linux/rmap.h>

#include "helpers.h"
#include "shadow_rmap.h"
#include "shadow_rmap_trace.h"

/* bindgen cannot evaluate these macros. */
const size_t SR_KSYM_SYMBOL_LEN = KSYM_SYMBOL_LEN;
const gfp_t SR_GFP_BOUNDED = GFP_KERNEL_ACCOUNT | __GFP_NORETRY | __GFP_NOWARN;
const fmode_t SR_FMODE_PWRITE = FMODE_PWRITE;
const size_t SR_PMD_SIZE = PMD_SIZE;
const size_t SR_FOLIO_MAPPING_FLAGS = FOLIO_MAPPING_FLAGS;
const size_t SR_FOLIO_MAPPING_ANON = FOLIO_MAPPING_ANON;
const int SR_RMAP_EXCLUSIVE = (__force int)RMAP_EXCLUSIVE;
const int SR_RMAP_NONE = (__force int)RMAP_NONE;
const slab_flags_t SR_SLAB_POISON = SLAB_POISON;
const slab_flags_t SR_SLAB_TYPESAFE_BY_RCU = SLAB_TYPESAFE_BY_RCU;
const slab_flags_t SR_SLAB_ACCOUNT = SLAB_ACCOUNT;
const slab_flags_t SR_SLAB_NO_MERGE = SLAB_NO_MERGE;
/* The kernel's own bindings have the value of VM_MAYEXEC under this name in 7.2. */
const vm_flags_t SR_VM_MAYSHARE = VM_MAYSHARE;
