/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One-line wrappers for what Rust cannot call: macros, inline functions, and code that macros
 * generate. One .c file for each kernel header; those of a module are included by one more, which
 * is named as the module.
 */
#ifndef _SHADOW_RMAP_HELPERS_H
#define _SHADOW_RMAP_HELPERS_H

#include <linux/maple_tree.h>
#include <linux/mm_types.h>
#include <linux/prandom.h>
#include <linux/rbtree_types.h>
#include <linux/rwsem.h>
#include <linux/sort.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>

struct anon_vma;
struct dentry;
struct pid;
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

void shadow_rmap_take_all_lock(void);
void shadow_rmap_take_all_unlock(void);

int shadow_rmap_rcu_depth(void);

bool shadow_rmap_may_warn(void);

struct dentry *shadow_rmap_debugfs_join(const char *name);
void shadow_rmap_debugfs_leave(struct dentry *folder);

void shadow_rmap_spin_lock_nested(spinlock_t *lock, int subclass);
void shadow_rmap_spin_lock_nest_lock(spinlock_t *lock, struct rw_semaphore *outer);
void shadow_rmap_spin_abandon(spinlock_t *lock);
bool shadow_rmap_spin_is_held(spinlock_t *lock);

void shadow_rmap_mt_init(struct maple_tree *mt, struct rw_semaphore *lock);
void shadow_rmap_mt_on_stack(struct maple_tree *mt);

void shadow_rmap_prandom_seed_state(struct rnd_state *state, u64 seed);

bool shadow_rmap_cpu_online(unsigned int cpu);

bool shadow_rmap_preemptible(void);
void shadow_rmap_preempt_here(void);
void shadow_rmap_cond_resched(void);
void shadow_rmap_set_interruptible(void);
void shadow_rmap_set_running(void);
void shadow_rmap_might_sleep(void);
bool shadow_rmap_lockdep_works(void);
bool shadow_rmap_tainted(unsigned int flag);
bool shadow_rmap_try_module_get(void);
void shadow_rmap_module_put(void);

void shadow_rmap_init_rwsem(struct rw_semaphore *sem, const char *name,
			    struct lock_class_key *key);
int shadow_rmap_rwsem_is_locked(struct rw_semaphore *sem);
bool shadow_rmap_rwsem_is_contended(struct rw_semaphore *sem);
void shadow_rmap_down_write_nested(struct rw_semaphore *sem, int subclass);
void shadow_rmap_down_write_nest_lock(struct rw_semaphore *sem, struct rw_semaphore *outer);
bool shadow_rmap_rwsem_is_held(struct rw_semaphore *sem);
void shadow_rmap_rwsem_abandon(struct rw_semaphore *sem);

/* Indices of the per-CPU counters; the names are in rust/stats.rs. */
#define SHADOW_RMAP_COUNTERS 256
unsigned long *shadow_rmap_counters_here(void);
void shadow_rmap_counter_add(unsigned int index, unsigned long by);
void shadow_rmap_counters_add(unsigned int first, unsigned long a, unsigned long b,
			      unsigned long c, unsigned long d);
unsigned long shadow_rmap_counter_sum(unsigned int index);

int shadow_rmap_mmap_write_lock_killable(struct mm_struct *mm, struct rw_semaphore *nest,
					 bool wait);
void shadow_rmap_mmap_write_unlock(struct mm_struct *mm);
int shadow_rmap_vma_start_write_killable(struct vm_area_struct *vma);
bool shadow_rmap_mmap_write_trylock(struct mm_struct *mm);
bool shadow_rmap_mmap_read_trylock(struct mm_struct *mm);
int shadow_rmap_mmap_read_lock_killable(struct mm_struct *mm);
void shadow_rmap_mmap_read_unlock(struct mm_struct *mm);
bool shadow_rmap_mmap_is_contended(struct mm_struct *mm);
bool shadow_rmap_mmap_is_locked(struct mm_struct *mm);
bool shadow_rmap_mmap_is_write_locked(struct mm_struct *mm);
struct vm_area_struct *shadow_rmap_vma_lookup(struct mm_struct *mm, unsigned long address);
bool shadow_rmap_fatal_signal_pending(void);
unsigned long shadow_rmap_vma_anon_pgoff(const struct vm_area_struct *vma);
bool shadow_rmap_vma_same_policy(struct vm_area_struct *a, struct vm_area_struct *b);
bool shadow_rmap_vma_same_flags(struct vm_area_struct *a, struct vm_area_struct *b);
struct task_struct *shadow_rmap_next_process(struct task_struct *task);
struct mm_struct *shadow_rmap_mm_of_pid(struct pid *pid, char *comm);
struct mm_struct *shadow_rmap_next_mm(int *nr, u64 began, char *comm);
pmd_t *shadow_rmap_pmd(struct mm_struct *mm, unsigned long address, unsigned long *size);
pmd_t shadow_rmap_pmd_read(pmd_t *pmd);
bool shadow_rmap_pmd_is_table(pmd_t pmd);
bool shadow_rmap_pmd_same(pmd_t one, pmd_t other);
spinlock_t *shadow_rmap_pte_lockptr(struct mm_struct *mm, pmd_t pmd);
pte_t *shadow_rmap_pte_offset(pmd_t pmd, unsigned long address);
struct page *shadow_rmap_pte_page(pte_t *pte);
struct page *shadow_rmap_pte_migrating(pte_t *pte, bool *exclusive);
bool shadow_rmap_get_page_below(struct page *page, int limit);
void *shadow_rmap_page_address(const struct page *page);
unsigned long shadow_rmap_page_mapping(struct page *page);
unsigned long shadow_rmap_page_index(struct page *page);
int shadow_rmap_page_mapcount(struct page *page);
bool shadow_rmap_page_is_exclusive(const struct page *page);
bool shadow_rmap_has_swap(void);

void shadow_rmap_bench_mm_init(struct mm_struct *mm);
void shadow_rmap_bench_vma_init(struct vm_area_struct *vma, struct mm_struct *mm,
				unsigned long start, unsigned long last);
void shadow_rmap_bench_vma_set_pgoff(struct vm_area_struct *vma, unsigned long pgoff);
int shadow_rmap_bench_vma_store(struct vm_area_struct *vma);
unsigned int shadow_rmap_bench_neighbours(struct mm_struct *mm, unsigned long end);
void shadow_rmap_bench_map_page(struct page *page, struct anon_vma *anon_vma, pgoff_t index);
void shadow_rmap_bench_unmap_page(struct page *page);

#endif /* _SHADOW_RMAP_HELPERS_H */
