// SPDX-License-Identifier: GPL-2.0
/* include/linux/mm.h, pagemap.h: VMAs and pages of no process, for the host's rmap to work on. */

#include <linux/mm.h>
#include <linux/pagemap.h>

#include "helpers.h"
#include "versions.h"

void shadow_rmap_bench_mm_init(struct mm_struct *mm)
{
	memset(mm, 0, sizeof(*mm));
	init_rwsem(&mm->mmap_lock);
	mt_init_flags(&mm->mm_mt, MM_MT_FLAGS);
	mt_set_external_lock(&mm->mm_mt, &mm->mmap_lock);
	spin_lock_init(&mm->page_table_lock);
}

void shadow_rmap_bench_vma_init(struct vm_area_struct *vma, struct mm_struct *mm,
				unsigned long start, unsigned long last)
{
	memset(vma, 0, sizeof(*vma));
	INIT_LIST_HEAD(&vma->anon_vma_chain);
	vma->vm_mm = mm;
	vma->vm_start = start << PAGE_SHIFT;
	vma->vm_end = (last + 1) << PAGE_SHIFT;
	shadow_rmap_set_anon_pgoff(vma, start);
}

void shadow_rmap_bench_vma_set_pgoff(struct vm_area_struct *vma, unsigned long pgoff)
{
	shadow_rmap_set_anon_pgoff(vma, pgoff);
}

int shadow_rmap_bench_vma_store(struct vm_area_struct *vma)
{
	VMA_ITERATOR(vmi, vma->vm_mm, vma->vm_start);

	vmi.mas.last = vma->vm_end - 1;
	return mas_store_gfp(&vmi.mas, vma, GFP_KERNEL);
}

/* The steps of find_mergeable_anon_vma() for the VMA that ends at @end: how many VMAs it sees. */
unsigned int shadow_rmap_bench_neighbours(struct mm_struct *mm, unsigned long end)
{
	VMA_ITERATOR(vmi, mm, end);
	unsigned int n = !!mas_walk(&vmi.mas);

	n += !!vma_prev(&vmi);
	return n + !!vma_prev(&vmi);
}

/* What a fault leaves in a new page, which is locked as well. */
void shadow_rmap_bench_map_page(struct page *page, struct anon_vma *anon_vma, pgoff_t index)
{
	struct folio *folio = page_folio(page);

	folio_lock(folio);
	folio->index = index;
	folio->mapping = (void *)anon_vma + FOLIO_MAPPING_ANON;
	atomic_set(&folio->_mapcount, 0);
}

void shadow_rmap_bench_unmap_page(struct page *page)
{
	struct folio *folio = page_folio(page);

	atomic_set(&folio->_mapcount, -1);
	ClearPageAnonExclusive(page);
	folio_clear_swapbacked(folio);
	folio->mapping = NULL;
	folio_unlock(folio);
}
