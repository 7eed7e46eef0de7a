// SPDX-License-Identifier: GPL-2.0
/* include/linux/interval_tree_generic.h: the tree of a node's range, which lives elsewhere. */

#include <linux/interval_tree_generic.h>

#include "helpers.h"

#define RANGE_START(node) ((node)->range->start)
#define RANGE_LAST(node) ((node)->range->last)

INTERVAL_TREE_DEFINE(struct shadow_rmap_node, rb, unsigned long, subtree_last,
		     RANGE_START, RANGE_LAST, static inline, range_tree)

void shadow_rmap_tree_insert(struct shadow_rmap_node *node, struct rb_root_cached *root)
{
	range_tree_insert(node, root);
}

void shadow_rmap_tree_remove(struct shadow_rmap_node *node, struct rb_root_cached *root)
{
	range_tree_remove(node, root);
}

struct shadow_rmap_node *shadow_rmap_tree_first(struct rb_root_cached *root,
						unsigned long start, unsigned long last)
{
	return range_tree_iter_first(root, start, last);
}

struct shadow_rmap_node *shadow_rmap_tree_next(struct shadow_rmap_node *node,
					       unsigned long start, unsigned long last)
{
	return range_tree_iter_next(node, start, last);
}
