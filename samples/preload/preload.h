/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the shim share.
 */
#ifndef _SHADOW_PRELOAD_H
#define _SHADOW_PRELOAD_H

#include <stddef.h>

/* The shim is built with -fvisibility=hidden: only these replace functions of libc. */
#define REPLACES_LIBC	__attribute__((visibility("default")))

/**
 * struct counts - what this process has done since it was forked or executed
 * @mappings: mappings of the device that it has made
 * @pages: pages of these mappings, touched or not
 * @other_kind: private anonymous mappings of a kind that the device does not have
 * @refused: private anonymous mappings that the device has refused, or that were
 *	made while it could not be opened
 * @reopened: times that the program had closed the shim's file
 * @freed: calls of madvise(MADV_FREE) that became MADV_DONTNEED
 * @advice: other calls of madvise() that failed with EINVAL
 */
struct counts {
	unsigned long mappings;
	unsigned long pages;
	unsigned long other_kind;
	unsigned long refused;
	unsigned long reopened;
	unsigned long freed;
	unsigned long advice;
};

extern struct counts counts;

/* Threads count at the same time. */
#define COUNT(field, n)	__atomic_fetch_add(&counts.field, (n), __ATOMIC_RELAXED)

#define PAGE	4096UL

/* The unit is a power of two. */
static inline size_t round_up(size_t size, size_t unit)
{
	return (size + unit - 1) & ~(unit - 1);
}

/* Maps the device, or anonymous memory if that fails. Arguments, result and errno of mmap(). */
void *shadow_map(void *addr, size_t len, int prot, int flags);

/* Returns the open device, or -1 if this process has none. */
int shadow_file(void);

/* Called around fork(). */
void malloc_before_fork(void);
void malloc_after_fork(void);

#endif /* _SHADOW_PRELOAD_H */
