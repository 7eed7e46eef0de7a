/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_DRIVER_H
#define HOST_DRIVER_H

/*
 * What the Rust side calls, and what it is called for. Structures of the kernel cross as pointers;
 * what is in them crosses as the plain structures below. src/ffi.rs repeats this file.
 */

#include <stdbool.h>

struct mm_struct;
struct vm_area_struct;
struct anon_vma;
struct anon_vma_chain;
struct folio;

struct host_vma {
	unsigned long start, end, pgoff, anon_pgoff, flags;
	struct anon_vma *anon_vma;
	bool file;
};

struct host_link {
	struct vm_area_struct *vma;
	struct anon_vma *anon_vma;
	unsigned long first, last, subtree_last;
	struct anon_vma_chain *left, *right;
};

struct host_anon_vma {
	struct anon_vma *root, *parent;
	long refcount;
	unsigned long num_children, num_active_vmas;
	bool locked;
};

struct host_folio {
	unsigned long mapping, index;
	int mapcount;
	bool exclusive;
};

/* The page tables are on the Rust side: what the host's code asks of them. */
struct host_hooks {
	void *data;
	/* Removes the entries of [start, end), each with a call of folio_unmap. */
	void (*zap)(void *data, struct vm_area_struct *vma, unsigned long start, unsigned long end);
	/* Copies the entries of a VMA, each with a call of folio_dup; 0 or an errno. */
	int (*copy)(void *data, struct vm_area_struct *dst, struct vm_area_struct *src);
	/* Moves entries within an mm; returns the bytes that were moved. */
	unsigned long (*move)(void *data, struct mm_struct *mm, unsigned long from,
			      unsigned long to, unsigned long len);
	/* Called for each VMA of a walk; false ends it. */
	bool (*visit)(void *data, struct vm_area_struct *vma, unsigned long addr);
	void (*warning)(void *data, const char *condition, const char *function, const char *file,
			int line);
};

/* What host_damage() changes, to show that a check notices it. */
enum host_field {
	HOST_REFCOUNT,
	HOST_NUM_CHILDREN,
	HOST_NUM_ACTIVE_VMAS,
	HOST_ROOT,
	HOST_PARENT,
	HOST_VMA_ANON_VMA,
	HOST_VMA_ANON_PGOFF,
	HOST_VMA_START,
	HOST_LINK_ANON_VMA,
	HOST_LINK_VMA,
	HOST_LINK_SUBTREE_LAST,
	HOST_FOLIO_MAPPING,
	HOST_FOLIO_INDEX,
	HOST_FOLIO_MAPCOUNT,
};

/* Functions in the order of host_api; a negative result is an errno. */
struct host_api {
	unsigned long size;
	void (*start)(const struct host_hooks *hooks);
	unsigned long (*end_step)(void);

	struct mm_struct *(*mm_new)(void);
	void (*mm_free)(struct mm_struct *mm);
	long (*map)(struct mm_struct *mm, unsigned long addr, unsigned long len,
		    unsigned long flags, bool file, unsigned long pgoff);
	int (*unmap)(struct mm_struct *mm, unsigned long addr, unsigned long len);
	int (*change_flags)(struct mm_struct *mm, unsigned long start, unsigned long end,
			    unsigned long set, unsigned long clear);
	long (*remap)(struct mm_struct *mm, unsigned long addr, unsigned long old_len,
		      unsigned long new_len, unsigned long flags, unsigned long new_addr);
	int (*fork)(struct mm_struct *mm, struct mm_struct *parent);
	void (*exit)(struct mm_struct *mm);
	int (*prepare)(struct vm_area_struct *vma);

	struct vm_area_struct *(*vma_at_or_after)(struct mm_struct *mm, unsigned long addr);
	struct mm_struct *(*vma_mm)(struct vm_area_struct *vma);
	void (*vma_read)(struct vm_area_struct *vma, struct host_vma *to);
	struct anon_vma_chain *(*chain_next)(struct vm_area_struct *vma,
					     struct anon_vma_chain *link);
	struct anon_vma_chain *(*tree_next)(struct anon_vma *anon_vma,
					    struct anon_vma_chain *link);
	void (*link_read)(struct anon_vma_chain *link, struct host_link *to);
	void (*anon_vma_read)(struct anon_vma *anon_vma, struct host_anon_vma *to);

	struct folio *(*folio_new)(void);
	void (*folio_free)(struct folio *folio);
	void (*folio_read)(struct folio *folio, struct host_folio *to);
	void (*folio_map_new)(struct folio *folio, struct vm_area_struct *vma, unsigned long addr,
			      bool exclusive);
	void (*folio_map)(struct folio *folio, struct vm_area_struct *vma, unsigned long addr);
	int (*folio_dup)(struct folio *folio, struct vm_area_struct *dst,
			 struct vm_area_struct *src);
	void (*folio_unmap)(struct folio *folio, struct vm_area_struct *vma);
	void (*folio_move)(struct folio *folio, struct vm_area_struct *vma);
	void (*folio_walk)(struct folio *folio);

	void (*fail_allocations)(unsigned long first, unsigned long count);
	unsigned long (*allocations)(void);
	const char *(*cache)(int index, unsigned long *objects);
	unsigned long (*edges)(void);
	unsigned long (*damage)(void *object, enum host_field field, unsigned long value);
};

extern const struct host_api host_api;

/* slab_hooks.c, and what it needs of the slab of the tests */
struct kmem_cache;
unsigned long kmem_cache_nr_allocated(struct kmem_cache *cachep);

void host_fail_allocations(unsigned long first, unsigned long count);
unsigned long host_allocations(void);
const char *host_cache(int index, unsigned long *objects);

/* coverage.c */
unsigned long host_edges(void);
void __sanitizer_cov_trace_pc(void);

#endif /* HOST_DRIVER_H */
