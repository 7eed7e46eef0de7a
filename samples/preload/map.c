// SPDX-License-Identifier: GPL-2.0
/*
 * Replaces mmap() and madvise(): private anonymous memory becomes a private
 * mapping of /dev/shadow_rmap.
 *
 * All system calls are made by syscall(): libc's own functions are the ones that
 * are replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload.h"
#include "shadow_rmap.h"

#define DEVICE	"/dev/shadow_rmap"

/* Programs close the low numbers, and expect to get them again. */
#define HIGH_NUMBER	900

/* Kinds of anonymous memory that a mapping of a file cannot be. */
#define OTHER_KINDS	(MAP_GROWSDOWN | MAP_HUGETLB)

struct counts counts;

static int device_fd = -1;
static dev_t device_number;

static void *raw_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

static bool is_device(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == device_number;
}

/*
 * Opens the device. The program may use the low numbers, and the file is closed
 * at exec(): the next program opens its own.
 */
static int open_device(void)
{
	__u32 mode = SHADOW_RMAP_MODE_MERGEABLE;
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC), high;
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) || ioctl(fd, SHADOW_RMAP_IOC_MODE, &mode)) {
		close(fd);
		return -1;
	}
	device_number = st.st_rdev;
	high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_NUMBER);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

int shadow_file(void)
{
	int fd = __atomic_load_n(&device_fd, __ATOMIC_ACQUIRE);

	return fd >= 0 && is_device(fd) ? fd : -1;
}

/*
 * Returns the open device. A program may have closed the file, and its number may
 * be that of another file now, which is left alone.
 */
static int device(void)
{
	int old = __atomic_load_n(&device_fd, __ATOMIC_ACQUIRE), new;

	if (old >= 0 && is_device(old))
		return old;
	new = open_device();
	if (new < 0)
		return -1;
	if (!__atomic_compare_exchange_n(&device_fd, &old, new, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		/* Another thread was faster. */
		close(new);
		return old;
	}
	if (old >= 0)
		COUNT(reopened, 1);
	return new;
}

/*
 * Returns where the host would map anonymous memory. The offset in the file is to
 * be the address, because only then are neighbours merged as anonymous memory is.
 */
static void *place_for(void *hint, size_t len, int flags)
{
	void *place = raw_mmap(hint, len, PROT_NONE, flags | MAP_NORESERVE, -1, 0);

	if (place == MAP_FAILED)
		return hint;
	munmap(place, len);
	return place;
}

void *shadow_map(void *addr, size_t len, int prot, int flags)
{
	int fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE), saved = errno;
	int placing = MAP_PRIVATE | MAP_ANONYMOUS | (flags & MAP_32BIT);
	int fd = flags & OTHER_KINDS ? -1 : device();
	void *place = addr, *map = MAP_FAILED;

	if (fd >= 0) {
		if (!fixed)
			place = place_for(addr, len, placing);
		/* Another thread may take the place: then the host chooses one. */
		map = raw_mmap(place, len, prot, flags & ~MAP_ANONYMOUS, fd,
			       (uintptr_t)place & ~(PAGE - 1));
	}
	if (map != MAP_FAILED) {
		COUNT(mappings, 1);
		COUNT(pages, round_up(len, PAGE) / PAGE);
		errno = saved;
		return map;
	}
	errno = saved;
	map = raw_mmap(addr, len, prot, flags, -1, 0);
	if (map != MAP_FAILED && (flags & OTHER_KINDS))
		COUNT(other_kind, 1);
	else if (map != MAP_FAILED)
		COUNT(refused, 1);
	return map;
}

REPLACES_LIBC void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	if ((flags & MAP_ANONYMOUS) && (flags & MAP_TYPE) == MAP_PRIVATE)
		return shadow_map(addr, len, prot, flags);
	return raw_mmap(addr, len, prot, flags, fd, offset);
}

REPLACES_LIBC void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return mmap(addr, len, prot, flags, fd, offset);
}

/* MADV_FREE lets the host drop the pages at any time: at once is permitted. */
REPLACES_LIBC int madvise(void *addr, size_t len, int advice)
{
	int ret = syscall(SYS_madvise, addr, len, advice);

	if (!ret || errno != EINVAL)
		return ret;
	if (advice != MADV_FREE) {
		COUNT(advice, 1);
		return ret;
	}
	ret = syscall(SYS_madvise, addr, len, MADV_DONTNEED);
	if (!ret)
		COUNT(freed, 1);
	return ret;
}
