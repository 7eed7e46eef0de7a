/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ioctl interface of /dev/shadow_rmap.
 *
 * Errors common to all: ENOTTY for a command that is not listed here, EINVAL
 * for a listed command with another structure size, EFAULT for a bad pointer.
 */
#ifndef _UAPI_SHADOW_RMAP_H
#define _UAPI_SHADOW_RMAP_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct shadow_rmap_check - what one check of an open file has seen
 * @vmas: live VMAs of this open file, in all processes
 * @anon_vmas: shadow anon_vmas that these VMAs are linked to
 * @chains: links between these VMAs and anon_vmas
 * @pages: anonymous pages that these VMAs map
 * @untracked: VMAs that the shadow has given up since the file was opened, for
 *	want of memory or beyond a limit; or the VMAs that are not compared because
 *	of that, if they are more
 * @violations: rules found broken since the module was loaded, here or elsewhere
 * @differences: differences between the shadow and the host
 */
struct shadow_rmap_check {
	__u64 vmas;
	__u64 anon_vmas;
	__u64 chains;
	__u64 pages;
	__u64 untracked;
	__u64 violations;
	__u64 differences;
};

/* Pinned: the host never merges a VMA of this file away (the default). */
#define SHADOW_RMAP_MODE_PINNED		0
/* Mergeable: the host may merge VMAs; the shadow reconciles afterwards. */
#define SHADOW_RMAP_MODE_MERGEABLE	1

#define SHADOW_RMAP_IOC_MAGIC	0xA7

/*
 * Verify the shadow of all mappings of this open file and compare it with the
 * host, while all processes that have them are held still.  ENOMEM; EINTR when
 * the caller is being killed.
 */
#define SHADOW_RMAP_IOC_CHECK	_IOR(SHADOW_RMAP_IOC_MAGIC, 1, struct shadow_rmap_check)

/*
 * Choose the kind of mapping, one of SHADOW_RMAP_MODE_*, through a pointer.
 * EBUSY once the file has been mapped, whatever the number; EINVAL for another
 * number; EOPNOTSUPP for mergeable mappings, which this build does not have.
 */
#define SHADOW_RMAP_IOC_MODE	_IOW(SHADOW_RMAP_IOC_MAGIC, 2, __u32)

#endif /* _UAPI_SHADOW_RMAP_H */
