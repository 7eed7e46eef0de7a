// SPDX-License-Identifier: GPL-2.0
/*
 * Between the host's code and the slab of tools/testing/shared: an allocation can be made to fail,
 * and freed memory goes back to malloc() at once, where AddressSanitizer watches it.
 *
 * The build renames the calls of the host's code to those below. This file alone is compiled
 * without the new names.
 */

#include <linux/slab.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

#define HOST_CACHES 8

static struct kmem_cache *caches[HOST_CACHES];
static const char *cache_names[HOST_CACHES];
static int nr_caches;
static unsigned long nr_allocations;
static unsigned long fail_from, fail_to;

/* Returns whether this allocation is one of those that are to fail. */
static bool fails(gfp_t gfp)
{
	if (!(gfp & __GFP_DIRECT_RECLAIM) || (gfp & __GFP_NOFAIL))
		return false;
	nr_allocations++;
	return nr_allocations >= fail_from && nr_allocations < fail_to;
}

void *host_kmem_cache_alloc_lru(struct kmem_cache *cachep, struct list_lru *lru, int gfp)
{
	return fails(gfp) ? NULL : kmem_cache_alloc_lru(cachep, lru, gfp);
}

bool host_kmem_cache_alloc_bulk(struct kmem_cache *cachep, gfp_t gfp, size_t size, void **list)
{
	return !fails(gfp) && kmem_cache_alloc_bulk(cachep, gfp, size, list);
}

struct slab_sheaf *host_kmem_cache_prefill_sheaf(struct kmem_cache *cachep, gfp_t gfp,
						 unsigned int size)
{
	return fails(gfp) ? NULL : kmem_cache_prefill_sheaf(cachep, gfp, size);
}

int host_kmem_cache_refill_sheaf(struct kmem_cache *cachep, gfp_t gfp, struct slab_sheaf **sheaf,
				 unsigned int size)
{
	return fails(gfp) ? -12 : kmem_cache_refill_sheaf(cachep, gfp, sheaf, size);
}

struct kmem_cache *host___kmem_cache_create_args(const char *name, unsigned int size,
						 struct kmem_cache_args *args, unsigned int flags)
{
	struct kmem_cache_args mine = *args;

	/* The slab of the tests keeps freed objects of caches that ask for no alignment. */
	if (!mine.align)
		mine.align = sizeof(void *);
	if (nr_caches == HOST_CACHES)
		abort();
	cache_names[nr_caches] = name;
	caches[nr_caches] = __kmem_cache_create_args(name, size, &mine, flags);
	return caches[nr_caches++];
}

/* The maple tree frees nodes by kfree() as well, which the slab of the tests does not count. */
void host_kfree(void *object)
{
	int i;

	for (i = 0; i < nr_caches; i++) {
		if (object && !strcmp(cache_names[i], "maple_node")) {
			kmem_cache_free(caches[i], object);
			return;
		}
	}
}

void host_fail_allocations(unsigned long first, unsigned long count)
{
	nr_allocations = 0;
	fail_from = first;
	fail_to = first + count;
}

unsigned long host_allocations(void)
{
	return nr_allocations;
}

const char *host_cache(int index, unsigned long *objects)
{
	if (index >= nr_caches)
		return NULL;
	*objects = kmem_cache_nr_allocated(caches[index]);
	return cache_names[index];
}
