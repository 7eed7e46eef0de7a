/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_ADAPTORS_H
#define HOST_ADAPTORS_H

/*
 * What the derived code calls and tools/testing/vma does not have. Three kinds: features that no
 * process has here (large folios, hugetlb, userfaultfd, KSM, file mappings' page cache), things
 * that another part of the project plays (the page tables, in src/tables.rs), and no-ops.
 */

#include <linux/interval_tree_generic.h>

/* A page of memory: of struct page and struct folio what the anonymous rmap uses. */
struct page {
	atomic_t _mapcount;
	bool anon_exclusive;
};

struct folio {
	union {
		struct page page;
		atomic_t _mapcount;
	};
	struct address_space *mapping;
	pgoff_t index;
	atomic_t _nr_pages_mapped, _entire_mapcount;
	bool swapbacked;
};

#define rmap_t			unsigned int
#define RMAP_NONE		0
#define RMAP_EXCLUSIVE		1
#define FOLIO_MAPPING_ANON	0x1
#define FOLIO_MAPPING_FLAGS	0x3

#define PageAnonExclusive(page)		((page)->anon_exclusive)
#define SetPageAnonExclusive(page)	((page)->anon_exclusive = true)
#define ClearPageAnonExclusive(page)	((page)->anon_exclusive = false)
#define folio_page(folio, n)		(&(folio)->page + (n))
#define page_pgoff(folio, ...)		((folio)->index)
#define folio_pgoff(folio)		((folio)->index)
#define folio_nr_pages(...)		1
#define folio_large_nr_pages(...)	1
#define folio_order(...)		0
#define folio_test_anon(folio)		((unsigned long)(folio)->mapping & FOLIO_MAPPING_ANON)
#define folio_test_ksm(...)		false
#define folio_test_large(...)		false
#define folio_test_pmd_mappable(...)	false
#define folio_test_hugetlb(...)		false
#define folio_test_locked(...)		true
#define folio_test_partially_mapped(...)	false
#define folio_test_swapbacked(folio)	((folio)->swapbacked)
#define __folio_set_swapbacked(folio)	((folio)->swapbacked = true)
#define folio_is_device_private(...)	false
#define folio_needs_cow_for_dma(...)	false
#define folio_entire_mapcount(...)	0
#define folio_add_return_large_mapcount(...)	0
#define folio_sub_return_large_mapcount(...)	0
#define folio_inc_return_large_mapcount(...)	0
#define folio_dec_return_large_mapcount(...)	0
#define folio_set_large_mapcount(...)	do { } while (0)
#define folio_add_large_mapcount(...)	do { } while (0)
#define folio_sub_large_mapcount(...)	do { } while (0)
#define folio_inc_large_mapcount(...)	do { } while (0)
#define folio_dec_large_mapcount(...)	do { } while (0)
#define deferred_split_folio(...)	do { } while (0)
#define mlock_vma_folio(...)		do { } while (0)
#define munlock_vma_folio(...)		do { } while (0)
#define __folio_rmap_sanity_checks(...)	do { } while (0)
#define __folio_mod_stat(...)		do { } while (0)
#define mod_mthp_stat(...)		do { } while (0)

enum pgtable_level {
	PGTABLE_LEVEL_PTE,
	PGTABLE_LEVEL_PMD,
	PGTABLE_LEVEL_PUD,
};

#define ENTIRELY_MAPPED		0x800000
#define FOLIO_PAGES_MAPPED	(ENTIRELY_MAPPED - 1)

#define VM_WARN_ON_FOLIO(condition, ...)	WARN_ON(condition)
#define VM_WARN_ON_ONCE_FOLIO(condition, ...)	WARN_ON(condition)

/* Names of <linux/...> that the headers of tools/ do not define. */
#ifndef __latent_entropy
#define __latent_entropy
#endif
#ifndef KMEM_CACHE
#define KMEM_CACHE(type, flags) \
	kmem_cache_create(#type, sizeof(struct type), NULL, flags)
#endif
#ifndef SINGLE_DEPTH_NESTING
#define SINGLE_DEPTH_NESTING	1
#endif
#ifndef abs_diff
#define abs_diff(a, b) ({				\
	__typeof__(a) __a = (a), __b = (b);		\
	__a > __b ? __a - __b : __b - __a;		\
})
#endif
#ifndef smp_store_release
/* Pairs with nothing: one thread runs. */
#define smp_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#endif
#define atomic_inc_and_test(v)		(!__sync_add_and_fetch(&(v)->counter, 1))
#define atomic_add_negative(n, v)	(__sync_add_and_fetch(&(v)->counter, n) < 0)
#define atomic_add_return_relaxed(n, v)	__sync_add_and_fetch(&(v)->counter, n)
#define atomic_sub_return_relaxed(n, v)	__sync_sub_and_fetch(&(v)->counter, n)
#define offset_in_page(p)	((unsigned long)(p) & ~PAGE_MASK)
#ifndef PMD_SIZE
#define PMD_SIZE		SZ_2M
#endif
#define MAP_SHARED		0x01
#define MAP_FIXED		0x10
#define MREMAP_MAYMOVE		1
#define MREMAP_FIXED		2
#define MREMAP_DONTUNMAP	4
#define MMF_OOM_SKIP		21
#define MMF_UNSTABLE		22
#define MM_CP_TRY_CHANGE_WRITABLE 1
#define MADV_UNMERGEABLE	13

#define mm_flags_set(flag, mm)	__set_bit(flag, ACCESS_PRIVATE(&(mm)->flags, __mm_flags))

/* Locks of an mm: one thread runs. */
#define mmap_write_lock(...)		do { } while (0)
#define mmap_write_lock_nested(...)	do { } while (0)
#define mmap_read_lock(...)		do { } while (0)

/* No process here has any of these. */
#define arch_dup_mmap(...)		0
#define arch_exit_mmap(...)		do { } while (0)
#define arch_has_pfn_modify_check()		false
#define cond_resched()				do { } while (0)
#define dup_mm_exe_file(...)		do { } while (0)
#define dup_userfaultfd(...)		0
#define dup_userfaultfd_complete(...)	do { } while (0)
#define dup_userfaultfd_fail(...)	do { } while (0)
#define flush_cache_dup_mm(...)		do { } while (0)
#define flush_cache_mm(...)		do { } while (0)
#define flush_tlb_mm(...)		do { } while (0)
#define hugetlb_dup_vma_private(...)	do { } while (0)
#define hugetlb_zap_begin(...)		do { } while (0)
#define hugetlb_zap_end(...)		do { } while (0)
#define hstate_vma(...)			NULL
#define huge_page_size(...)		PAGE_SIZE
#define huge_page_mask(...)		PAGE_MASK
#define khugepaged_fork(...)		do { } while (0)
#define ksm_fork(...)			do { } while (0)
#define ksm_madvise(...)		0
#define mapping_rmap_tree_insert_after(...)	do { } while (0)
#define mmu_notifier_invalidate_range_end(...)	do { } while (0)
#define mmu_notifier_invalidate_range_start(...)	do { } while (0)
#define mmu_notifier_range_init(...)	do { } while (0)
#define mmu_notifier_release(...)	do { } while (0)
#define mm_populate(...)		do { } while (0)
#define mremap_userfaultfd_complete(...)	do { } while (0)
#define mremap_userfaultfd_fail(...)	do { } while (0)
#define mremap_userfaultfd_prep(...)	do { } while (0)
#define populate_vma_page_range(...)	do { } while (0)
#define thp_get_unmapped_area			NULL
#define tlb_free_vmas(...)		do { } while (0)
#define tlb_gather_mmu_fullmm(...)	do { } while (0)
#define trace_exit_mmap(...)		do { } while (0)
#define uprobe_dup_mmap(...)		do { } while (0)
#define userfaultfd_armed(...)		false
#define vma_is_shmem(...)		false
#define vma_wants_manual_pte_write_upgrade(...)	false
#define walk_page_range_vma(...)	0

struct mmu_notifier_range {
	int unused;
};

struct zap_details {
	int zap_flags;
};

#define ZAP_FLAG_DROP_MARKER	1
#define ZAP_FLAG_UNMAP		2

/* The page tables: src/tables.rs. */
static void __zap_vma_range(struct mmu_gather *tlb, struct vm_area_struct *vma,
			    unsigned long start, unsigned long end, struct zap_details *details);
static int host_copy(struct vm_area_struct *dst, struct vm_area_struct *src);
static unsigned long host_move(struct pagetable_move_control *pmc);

#define copy_page_range(dst, src)	host_copy(dst, src)
#define move_page_tables(pmc)		host_move(pmc)
#define change_protection(...)		do { } while (0)

/* The caller of mremap() names an address that is free: where the kernel searches, it fails. */
static inline unsigned long get_unmapped_area(struct file *file, unsigned long addr,
					      unsigned long len, unsigned long pgoff,
					      unsigned long flags)
{
	return flags & MAP_FIXED ? addr : -ENOMEM;
}

/* Functions that mm/vma.c calls and that are defined below it. */
int anon_vma_clone(struct vm_area_struct *dst, struct vm_area_struct *src,
		   enum vma_operation operation);
void unlink_anon_vmas(struct vm_area_struct *vma);
int __anon_vma_prepare(struct vm_area_struct *vma);
void __put_anon_vma(struct anon_vma *anon_vma);
void unmap_vmas(struct mmu_gather *tlb, struct unmap_desc *unmap);
void free_pgtables(struct mmu_gather *tlb, struct unmap_desc *unmap);
int do_munmap(struct mm_struct *mm, unsigned long start, size_t len, struct list_head *uf);

#endif /* HOST_ADAPTORS_H */
