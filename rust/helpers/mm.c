// SPDX-License-Identifier: GPL-2.0
/* include/linux/mm.h, mmap_lock.h, sched/mm.h: what the device and the host reader need. */

/* Before leafops.h, which needs it in 7.2. */
#include <linux/swap.h>

#include <linux/kernel.h>
#include <linux/leafops.h>
#include <linux/lockdep.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "helpers.h"
#include "versions.h"

/*
 * mmap_write_lock_killable() for several address spaces at once, all under @nest. There is no
 * killable variant of down_write_nest_lock(): lockdep learns of the lock once it is held. Without
 * @wait: -EAGAIN if the lock is taken.
 */
int shadow_rmap_mmap_write_lock_killable(struct mm_struct *mm, struct rw_semaphore *nest, bool wait)
{
	int err = 0;

	lockdep_off();
	if (!down_write_trylock(&mm->mmap_lock))
		err = wait ? down_write_killable(&mm->mmap_lock) : -EAGAIN;
	lockdep_on();
	if (err)
		return err;
	rwsem_acquire_nest(&mm->mmap_lock.dep_map, 0, 0, &nest->dep_map, _RET_IP_);
	mm_lock_seqcount_begin(mm);
	return 0;
}

void shadow_rmap_mmap_write_unlock(struct mm_struct *mm)
{
	mmap_write_unlock(mm);
}

bool shadow_rmap_mmap_write_trylock(struct mm_struct *mm)
{
	if (!down_write_trylock(&mm->mmap_lock))
		return false;
	mm_lock_seqcount_begin(mm);
	return true;
}

bool shadow_rmap_mmap_read_trylock(struct mm_struct *mm)
{
	return mmap_read_trylock(mm);
}

int shadow_rmap_mmap_read_lock_killable(struct mm_struct *mm)
{
	return mmap_read_lock_killable(mm);
}

void shadow_rmap_mmap_read_unlock(struct mm_struct *mm)
{
	mmap_read_unlock(mm);
}

bool shadow_rmap_mmap_is_contended(struct mm_struct *mm)
{
	return mmap_lock_is_contended(mm);
}

int shadow_rmap_vma_start_write_killable(struct vm_area_struct *vma)
{
	return vma_start_write_killable(vma);
}

bool shadow_rmap_mmap_is_locked(struct mm_struct *mm)
{
	return rwsem_is_locked(&mm->mmap_lock);
}

/* No function of the kernel asks this in both configurations. */
bool shadow_rmap_mmap_is_write_locked(struct mm_struct *mm)
{
#ifdef CONFIG_PREEMPT_RT
	return rw_base_is_write_locked(&mm->mmap_lock.rwbase);
#else
	return atomic_long_read(&mm->mmap_lock.count) & RWSEM_WRITER_LOCKED;
#endif
}

struct vm_area_struct *shadow_rmap_vma_lookup(struct mm_struct *mm, unsigned long address)
{
	return vma_lookup(mm, address);
}

bool shadow_rmap_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

unsigned long shadow_rmap_vma_anon_pgoff(const struct vm_area_struct *vma)
{
	return shadow_rmap_get_anon_pgoff(vma);
}

/* mpol_equal(), whose function is not exported where there is one. */
bool shadow_rmap_vma_same_policy(struct vm_area_struct *a, struct vm_area_struct *b)
{
#ifdef CONFIG_NUMA
	const struct mempolicy *one = vma_policy(a), *other = vma_policy(b);

	if (one == other)
		return true;
	if (!one || !other || one->mode != other->mode || one->flags != other->flags ||
	    one->home_node != other->home_node || !nodes_equal(one->nodes, other->nodes))
		return false;
	/* What the user asked for counts where the nodes follow from it at each rebind. */
	return !(one->flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES)) ||
	       nodes_equal(one->w.user_nodemask, other->w.user_nodemask);
#else
	return true;
#endif
}

/* Equal but for what mprotect() may change, and for what does not hinder merging. */
bool shadow_rmap_vma_same_flags(struct vm_area_struct *a, struct vm_area_struct *b)
{
	vma_flags_t diff = vma_flags_diff_pair(&a->flags, &b->flags);

	vma_flags_clear_mask(&diff, VMA_ACCESS_FLAGS);
	vma_flags_clear_mask(&diff, VMA_IGNORE_MERGE_FLAGS);
	return vma_flags_empty(&diff);
}

/* The next of all processes after @task, round and round; under RCU. */
struct task_struct *shadow_rmap_next_process(struct task_struct *task)
{
	return next_task(task);
}

/*
 * The entry of the page middle directory that leads to @address, or NULL if there is none. @size is
 * that of the aligned range around @address which has no page table in this case.
 */
pmd_t *shadow_rmap_pmd(struct mm_struct *mm, unsigned long address, unsigned long *size)
{
	pgd_t *pgd = pgd_offset(mm, address);
	p4d_t *p4d;
	pud_t *pud, entry;

	*size = PGDIR_SIZE;
	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, address);
	*size = P4D_SIZE;
	if (p4d_none(*p4d))
		return NULL;
	pud = pud_offset(p4d, address);
	*size = PUD_SIZE;
	entry = READ_ONCE(*pud);
	return pud_none(entry) || pud_leaf(entry) ? NULL : pmd_offset(pud, address);
}

pmd_t shadow_rmap_pmd_read(pmd_t *pmd)
{
	return pmdp_get_lockless(pmd);
}

bool shadow_rmap_pmd_is_table(pmd_t pmd)
{
	return pmd_present(pmd) && !pmd_leaf(pmd) && !pmd_bad(pmd);
}

bool shadow_rmap_pmd_same(pmd_t one, pmd_t other)
{
	return pmd_same(one, other);
}

spinlock_t *shadow_rmap_pte_lockptr(struct mm_struct *mm, pmd_t pmd)
{
	return pte_lockptr(mm, &pmd);
}

pte_t *shadow_rmap_pte_offset(pmd_t pmd, unsigned long address)
{
	return pte_offset_kernel(&pmd, address);
}

/* The page that the PTE maps, or NULL. What it maps may have no struct page if it is special. */
struct page *shadow_rmap_pte_page(pte_t *pte)
{
	pte_t entry = ptep_get(pte);

	return pte_present(entry) && !pte_special(entry) ? pte_page(entry) : NULL;
}

/*
 * The page that the PTE mapped before its migration began and has not ended, or NULL. The entry
 * keeps whether it was exclusive; the page does not.
 */
struct page *shadow_rmap_pte_migrating(pte_t *pte, bool *exclusive)
{
	softleaf_t entry = softleaf_from_pte(ptep_get(pte));

	if (!softleaf_is_migration(entry))
		return NULL;
	*exclusive = !softleaf_is_migration_read(entry);
	return softleaf_to_page(entry);
}

/* get_page(), unless the page has @limit references. */
bool shadow_rmap_get_page_below(struct page *page, int limit)
{
	if (page_ref_count(page) >= limit)
		return false;
	get_page(page);
	return true;
}

/* Not for highmem. */
void *shadow_rmap_page_address(const struct page *page)
{
	return page_address(page);
}

unsigned long shadow_rmap_page_mapping(struct page *page)
{
	return (unsigned long)READ_ONCE(page_folio(page)->mapping);
}

unsigned long shadow_rmap_page_index(struct page *page)
{
	/* If a huge page is split under migration, either folio gives the same index. */
	struct folio *folio = page_folio(page);

	return folio_pgoff(folio) + folio_page_idx(folio, page);
}

int shadow_rmap_page_mapcount(struct page *page)
{
	return folio_mapcount(page_folio(page));
}

bool shadow_rmap_page_is_exclusive(const struct page *page)
{
	return PageAnonExclusive(page);
}

bool shadow_rmap_has_swap(void)
{
	return get_nr_swap_pages() > 0;
}
