/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_LOCKED_H
#define HOST_LOCKED_H

/* R15, R29: a tree changes only while its root's lock is held for writing. */

#define anon_rmap_tree_insert(avc, tree) ({			\
	struct anon_vma *__tree = (tree);			\
	WARN_ON(!__tree->root->rwsem.writers);			\
	anon_rmap_tree_insert(avc, __tree);			\
})
#define anon_rmap_tree_remove(avc, tree) ({			\
	struct anon_vma *__tree = (tree);			\
	WARN_ON(!__tree->root->rwsem.writers);			\
	anon_rmap_tree_remove(avc, __tree);			\
})

#endif /* HOST_LOCKED_H */
