/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ioctl interface of /dev/shadow_rmap.
 *
 * Errors of every command: ENOTTY for a command that is not listed here, EINVAL
 * for a listed command with another structure size or direction, EFAULT for a
 * bad pointer.
 */
#ifndef _UAPI_SHADOW_RMAP_H
#define _UAPI_SHADOW_RMAP_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct shadow_rmap_check - result of one check of an open file
 * @vmas: live VMAs of this open file, in all processes
 * @anon_vmas: shadow anon_vmas that these VMAs are linked to
 * @chains: links between these VMAs and anon_vmas
 * @pages: anonymous pages that these VMAs map
 * @untracked: the larger of two numbers: VMAs that the shadow stopped following,
 *	for lack of memory or because of a limit; and VMAs that this check did not
 *	compare as a result. Once those VMAs are closed, and a check finds no
 *	difference in the rest of their families, the first number is 0 again
 * @violations: violations that this check finds in the shadow of these VMAs; and
 *	those that the module has found at events of any process since the check
 *	before of this open file, or since the file was opened
 * @differences: differences between the shadow and the host in this check; and one
 *	for each of these, if it was seen: the host has not called open; it has not
 *	called close; it has forked or merged VMAs against the rules, and they are gone
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

/* Pinned (the default): the host never removes a VMA of this file by a merge. */
#define SHADOW_RMAP_MODE_PINNED		0
/* Mergeable: the host may merge VMAs with each other, as those of any mapping. */
#define SHADOW_RMAP_MODE_MERGEABLE	1

#define SHADOW_RMAP_IOC_MAGIC	0xA7

/*
 * Verify the shadow of all mappings of this open file, and compare it with the
 * host. All processes with such a mapping are stopped meanwhile. ENOMEM; EINTR
 * if a fatal signal is pending; EAGAIN if new processes map the file faster than
 * they can be stopped, or pages migrate all the time.
 */
#define SHADOW_RMAP_IOC_CHECK	_IOR(SHADOW_RMAP_IOC_MAGIC, 1, struct shadow_rmap_check)

/*
 * Choose the kind of mapping: a pointer to one of SHADOW_RMAP_MODE_*. EBUSY once
 * the file has been mapped, or while it is being mapped, for any number; EINVAL
 * for an unknown number.
 */
#define SHADOW_RMAP_IOC_MODE	_IOW(SHADOW_RMAP_IOC_MAGIC, 2, __u32)

#endif /* _UAPI_SHADOW_RMAP_H */
