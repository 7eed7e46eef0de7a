// SPDX-License-Identifier: GPL-2.0
/* Damage to the host's structures, which shows that a check notices it. Included by host.c. */

static unsigned long host_swap(void *place, unsigned long value)
{
	unsigned long old;

	memcpy(&old, place, sizeof(old));
	memcpy(place, &value, sizeof(value));
	return old;
}

/* Overwrites one field; returns what was there. */
static unsigned long host_damage(void *object, enum host_field field, unsigned long value)
{
	struct anon_vma *anon_vma = object;
	struct vm_area_struct *vma = object;
	struct anon_vma_chain *link = object;
	struct folio *folio = object;
	unsigned long old = 0;

	switch (field) {
	case HOST_REFCOUNT:
		old = atomic_read(&anon_vma->refcount);
		atomic_set(&anon_vma->refcount, value);
		break;
	case HOST_NUM_CHILDREN:
		return host_swap(&anon_vma->num_children, value);
	case HOST_NUM_ACTIVE_VMAS:
		return host_swap(&anon_vma->num_active_vmas, value);
	case HOST_ROOT:
		return host_swap(&anon_vma->root, value);
	case HOST_PARENT:
		return host_swap(&anon_vma->parent, value);
	case HOST_VMA_ANON_VMA:
		return host_swap(&vma->anon_vma, value);
	case HOST_VMA_ANON_PGOFF:
		old = vma_start_anon_pgoff(vma);
		__vma_set_anon_pgoff(vma, value);
		break;
	case HOST_VMA_START:
		return host_swap(&vma->vm_start, value);
	case HOST_LINK_ANON_VMA:
		return host_swap(&link->anon_vma, value);
	case HOST_LINK_VMA:
		return host_swap(&link->vma, value);
	case HOST_LINK_SUBTREE_LAST:
		return host_swap(&link->rb_subtree_last, value);
	case HOST_FOLIO_MAPPING:
		return host_swap(&folio->mapping, value);
	case HOST_FOLIO_INDEX:
		return host_swap(&folio->index, value);
	case HOST_FOLIO_MAPCOUNT:
		old = atomic_read(&folio->_mapcount) + 1;
		atomic_set(&folio->_mapcount, value - 1);
		break;
	}
	return old;
}
