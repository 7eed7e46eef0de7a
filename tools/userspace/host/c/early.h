/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_EARLY_H
#define HOST_EARLY_H

/* Adaptors that the headers of tools/testing/vma themselves need. */

#include <linux/bug.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>

/* Fields that the structures of those headers lack. */
#define HOST_MM_STRUCT spinlock_t page_table_lock; unsigned long hiwater_vm
#define HOST_FILE_OPERATIONS void *get_unmapped_area

#define CONFIG_DEFAULT_MMAP_MIN_ADDR 65536

#endif /* HOST_EARLY_H */
