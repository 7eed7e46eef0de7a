// SPDX-License-Identifier: GPL-2.0
/* include/linux/debugfs.h: a folder at the top that several modules share. */

#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fs.h>

#include "helpers.h"

/*
 * i_private of the folder's inode counts the modules that use the folder, under the inode's lock.
 * debugfs_remove() removes what is in a folder as well, so only the last user may call it.
 *
 * While the count is 0 one module owns the folder: it has made the folder and is about to count
 * itself, or it was the last user and is about to remove the folder. Others wait for that.
 */

/* How often join() tries, a millisecond or more apart. */
#define MOST_TRIES 1000

static struct dentry *join(const char *name)
{
	struct dentry *folder = debugfs_lookup(name, NULL);
	struct inode *inode;
	unsigned long users;

	if (folder) {
		inode = d_inode(folder);
		inode_lock(inode);
		users = (unsigned long)inode->i_private;
		if (users)
			inode->i_private = (void *)(users + 1);
		inode_unlock(inode);
		/* A folder with users stays; debugfs itself holds a reference. */
		dput(folder);
		return users ? folder : ERR_PTR(-EBUSY);
	}

	folder = debugfs_create_dir(name, NULL);
	if (IS_ERR(folder))
		return folder;
	inode = d_inode(folder);
	inode_lock(inode);
	inode->i_private = (void *)1UL;
	inode_unlock(inode);
	return folder;
}

/*
 * Returns the folder @name at the top of debugfs, which the caller uses until it calls
 * shadow_rmap_debugfs_leave(), or an error as debugfs_create_dir() does. -EBUSY means that
 * another driver has a folder of this name.
 */
struct dentry *shadow_rmap_debugfs_join(const char *name)
{
	struct dentry *folder = join(name);
	int tries;

	for (tries = 1; tries < MOST_TRIES; tries++) {
		if (folder != ERR_PTR(-EBUSY) && folder != ERR_PTR(-EEXIST))
			return folder;
		fsleep(USEC_PER_MSEC);
		folder = join(name);
	}
	return folder == ERR_PTR(-EEXIST) ? ERR_PTR(-EBUSY) : folder;
}

/* The caller has removed what it made in @folder, which may be an error. */
void shadow_rmap_debugfs_leave(struct dentry *folder)
{
	struct inode *inode;
	unsigned long users;

	if (IS_ERR_OR_NULL(folder))
		return;
	inode = d_inode(folder);
	inode_lock(inode);
	users = (unsigned long)inode->i_private - 1;
	inode->i_private = (void *)users;
	inode_unlock(inode);
	if (!users)
		debugfs_remove(folder);
}
