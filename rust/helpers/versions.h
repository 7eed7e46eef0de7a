/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the versions of Linux that the module is built for. Kbuild defines
 * SHADOW_RMAP_LINUX_7_2: a VMA has one page offset there, vm_pgoff, which the reverse map of
 * anonymous pages uses as well. Since 7.3 a private mapping of a file has a second one for it.
 */
#ifndef _SHADOW_RMAP_VERSIONS_H
#define _SHADOW_RMAP_VERSIONS_H

#include <linux/mm.h>

static inline pgoff_t shadow_rmap_get_anon_pgoff(const struct vm_area_struct *vma)
{
#ifdef SHADOW_RMAP_LINUX_7_2
	return vma->vm_pgoff;
#else
	return vma_start_anon_pgoff(vma);
#endif
}

static inline void shadow_rmap_set_anon_pgoff(struct vm_area_struct *vma, pgoff_t pgoff)
{
#ifdef SHADOW_RMAP_LINUX_7_2
	vma->vm_pgoff = pgoff;
#else
	vma->__vm_anon_pgoff_lo = lower_32_bits(pgoff);
	vma->__vm_anon_pgoff_hi = upper_32_bits(pgoff);
#endif
}

#endif /* _SHADOW_RMAP_VERSIONS_H */
