/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One-line wrappers for what Rust cannot call: macros, inline functions, and code that macros
 * generate.  One .c file for each kernel header.
 */
#ifndef _SHADOW_RMAP_HELPERS_H
#define _SHADOW_RMAP_HELPERS_H

#include <linux/mm_types.h>
#include <linux/rbtree_types.h>
#include <linux/rwsem.h>
#include <linux/sort.h>
#include <linux/types.h>

struct task_struct;

/* A closed range of page offsets, owned by whatever a tree node stands for. */
struct shadow_rmap_range {
	unsigned long start;
	unsigned long last;
};

/* A node of an interval tree whose range lives elsewhere, as in struct anon_vma_chain. */
struct shadow_rmap_node {
	struct rb_node rb;
	unsigned long subtree_last;
	const struct shadow_rmap_range *range;
};

void shadow_rmap_tree_insert(struct shadow_rmap_node *node, struct rb_root_cached *root);
void shadow_rmap_tree_remove(struct shadow_rmap_node *node, struct rb_root_cached *root);
struct shadow_rmap_node *shadow_rmap_tree_first(struct rb_root_cached *root,
						unsigned long start, unsigned long last);
struct shadow_rmap_node *shadow_rmap_tree_next(struct shadow_rmap_node *node,
					       unsigned long start, unsigned long last);

void shadow_rmap_init_rwsem(struct rw_semaphore *sem, const char *name,
			    struct lock_class_key *key);
int shadow_rmap_rwsem_is_locked(struct rw_semaphore *sem);
void shadow_rmap_down_write_nested(struct rw_semaphore *sem, int subclass);

/* Indices of the per-CPU counters; the names are in rust/stats.rs. */
#define SHADOW_RMAP_COUNTERS 128
void shadow_rmap_counter_add(unsigned int index, unsigned long by);
unsigned long shadow_rmap_counter_sum(unsigned int index);

void shadow_rmap_mmap_write_lock(struct mm_struct *mm, struct rw_semaphore *nest);
void shadow_rmap_mmap_write_unlock(struct mm_struct *mm);
void shadow_rmap_vma_start_write(struct vm_area_struct *vma);
struct vm_area_struct *shadow_rmap_vma_lookup(struct mm_struct *mm, unsigned long address);
bool shadow_rmap_fatal_signal_pending(void);
unsigned long shadow_rmap_vma_anon_pgoff(const struct vm_area_struct *vma);
bool shadow_rmap_vma_same_policy(struct vm_area_struct *a, struct vm_area_struct *b);
bool shadow_rmap_vma_same_flags(struct vm_area_struct *a, struct vm_area_struct *b);
struct task_struct *shadow_rmap_next_process(struct task_struct *task);
long shadow_rmap_pages_at(struct vm_area_struct *vma, unsigned long address, unsigned long n,
			  struct page **pages);
void shadow_rmap_get_page(struct page *page);
void shadow_rmap_put_page(struct page *page);
unsigned long shadow_rmap_page_mapping(struct page *page);
unsigned long shadow_rmap_page_index(struct page *page);
int shadow_rmap_page_mapcount(struct page *page);

#endif /* _SHADOW_RMAP_HELPERS_H */
