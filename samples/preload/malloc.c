// SPDX-License-Identifier: GPL-2.0
/*
 * Replaces malloc() and its family. The allocator of glibc takes memory from brk()
 * and from an mmap() that cannot be replaced; this one takes it from the device.
 *
 * A block begins with a struct head. Blocks up to SMALL bytes have one of CLASSES
 * sizes, come from regions of REGION bytes, and are kept in a list for each size
 * when they are freed. Each larger block is a mapping of its own.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "preload.h"

#define SMALL	(64UL * 1024)
#define REGION	(1024UL * 1024)

/* The sizes are 32, 48, 64, 96, 128, ... SMALL. */
#define CLASSES	23

/* Values of head.class that are no index of free_blocks[]. */
#define LARGE	CLASSES
#define ALIGNED	(CLASSES + 1)

/**
 * struct head - what precedes the memory that the program gets
 * @size: bytes of the block with its head; in the second head of an aligned block
 *	the distance to the first one
 * @class: index of the size, LARGE, or ALIGNED for a second head
 */
struct head {
	size_t size;
	size_t class;
};

static_assert(sizeof(struct head) == 16, "malloc() aligns to 16 bytes");

struct free_block {
	struct head head;
	struct free_block *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct free_block *free_blocks[CLASSES];
static char *region, *region_end;

void malloc_before_fork(void)
{
	pthread_mutex_lock(&lock);
}

void malloc_after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

static size_t class_size(size_t class)
{
	return (class & 1 ? 48UL : 32UL) << (class / 2);
}

static size_t class_of(size_t size)
{
	size_t class = 0;

	while (class_size(class) < size)
		class++;
	return class;
}

static void *map_memory(size_t size)
{
	return shadow_map(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
}

/* Returns the head of the block in which the program's pointer lies. */
static struct head *head_of(void *p)
{
	struct head *head = (struct head *)p - 1;

	if (head->class == ALIGNED)
		head = (struct head *)((char *)head - head->size);
	return head;
}

/* Returns the bytes that the program may use behind its pointer. */
static size_t usable(void *p)
{
	struct head *head = head_of(p);

	return (char *)head + head->size - (char *)p;
}

static struct head *large_block(size_t size)
{
	struct head *head;

	size = round_up(size, PAGE);
	head = map_memory(size);
	if (head == MAP_FAILED)
		return NULL;
	*head = (struct head){ .size = size, .class = LARGE };
	return head;
}

/* The lock is held. What remains of the region before is not used. */
static struct head *new_block(size_t class)
{
	size_t size = class_size(class);
	struct head *head;

	if ((size_t)(region_end - region) < size) {
		char *map = map_memory(REGION);

		if (map == MAP_FAILED)
			return NULL;
		region = map;
		region_end = map + REGION;
	}
	head = (struct head *)region;
	region += size;
	*head = (struct head){ .size = size, .class = class };
	return head;
}

static struct head *small_block(size_t size)
{
	size_t class = class_of(size);
	struct free_block *block;
	struct head *head;

	pthread_mutex_lock(&lock);
	block = free_blocks[class];
	if (block) {
		free_blocks[class] = block->next;
		head = &block->head;
	} else {
		head = new_block(class);
	}
	pthread_mutex_unlock(&lock);
	return head;
}

REPLACES_LIBC void *malloc(size_t size)
{
	struct head *head = NULL;

	if (size <= PTRDIFF_MAX - PAGE) {
		size += sizeof(*head);
		head = size <= SMALL ? small_block(size) : large_block(size);
	}
	if (!head) {
		errno = ENOMEM;
		return NULL;
	}
	return head + 1;
}

REPLACES_LIBC void free(void *p)
{
	int saved = errno;
	struct head *head;

	if (!p)
		return;
	head = head_of(p);
	if (head->class == LARGE) {
		munmap(head, head->size);
	} else {
		struct free_block *block = (struct free_block *)head;

		pthread_mutex_lock(&lock);
		block->next = free_blocks[head->class];
		free_blocks[head->class] = block;
		pthread_mutex_unlock(&lock);
	}
	errno = saved;
}

REPLACES_LIBC void *calloc(size_t count, size_t size)
{
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	p = malloc(bytes);
	/* A new mapping is zeroes. */
	if (p && head_of(p)->class != LARGE)
		memset(p, 0, bytes);
	return p;
}

/* Moves or resizes a large block by mremap(). Returns NULL if that is not possible. */
static void *resize_large(void *p, size_t size)
{
	struct head *head = (struct head *)p - 1;

	if (head->class != LARGE || size <= SMALL || size > PTRDIFF_MAX - PAGE)
		return NULL;
	size = round_up(size + sizeof(*head), PAGE);
	head = mremap(head, head->size, size, MREMAP_MAYMOVE);
	if (head == MAP_FAILED)
		return NULL;
	head->size = size;
	return head + 1;
}

REPLACES_LIBC void *realloc(void *p, size_t size)
{
	size_t old;
	void *new;

	if (!p)
		return malloc(size);
	if (!size) {
		free(p);
		return NULL;
	}
	old = usable(p);
	if (size <= old && size >= old / 2)
		return p;
	new = resize_large(p, size);
	if (new)
		return new;
	new = malloc(size);
	if (!new)
		return NULL;
	memcpy(new, p, size < old ? size : old);
	free(p);
	return new;
}

REPLACES_LIBC void *memalign(size_t alignment, size_t size)
{
	size_t power = 2 * sizeof(struct head);
	struct head *head, *second;
	char *p, *aligned;

	if (alignment <= sizeof(*head))
		return malloc(size);
	if (size > PTRDIFF_MAX / 4 || alignment > PTRDIFF_MAX / 4) {
		errno = ENOMEM;
		return NULL;
	}
	/* As glibc does, another number is made a power of two. */
	while (power < alignment)
		power *= 2;
	p = malloc(size + power);
	if (!p)
		return NULL;
	head = head_of(p);
	aligned = (char *)round_up((uintptr_t)p, power);
	if (aligned == p)
		return p;
	/* Both are multiples of 16 bytes: there is room for a second head. */
	second = (struct head *)aligned - 1;
	*second = (struct head){ .size = (char *)second - (char *)head, .class = ALIGNED };
	return aligned;
}

/* Returns an error instead of setting errno. */
REPLACES_LIBC int posix_memalign(void **result, size_t alignment, size_t size)
{
	int saved = errno, error = EINVAL;
	void *p;

	if (alignment % sizeof(void *) || !alignment || (alignment & (alignment - 1)))
		return error;
	p = memalign(alignment, size);
	error = p ? 0 : ENOMEM;
	errno = saved;
	if (p)
		*result = p;
	return error;
}

REPLACES_LIBC void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

REPLACES_LIBC void *valloc(size_t size)
{
	return memalign(PAGE, size);
}

REPLACES_LIBC void *pvalloc(size_t size)
{
	return memalign(PAGE, round_up(size, PAGE));
}

REPLACES_LIBC size_t malloc_usable_size(void *p)
{
	return p ? usable(p) : 0;
}
