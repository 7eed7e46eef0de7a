// SPDX-License-Identifier: GPL-2.0
/*
 * The entry points of driver.h. Included by host.c, so that static functions can be called. Each
 * is what a system call does around the functions of mm/, without the locks.
 */

int host_locks_held;
int sysctl_max_map_count = 65530;
unsigned long mmap_min_addr = CONFIG_DEFAULT_MMAP_MIN_ADDR;
unsigned long dac_mmap_min_addr = CONFIG_DEFAULT_MMAP_MIN_ADDR;
unsigned long stack_guard_gap = 256UL << PAGE_SHIFT;

static void host_close(struct vm_area_struct *vma)
{
}

/* A VMA that has a close() is not removed by a merge, as those of shadow_rmap.ko. */
const struct vm_operations_struct vma_dummy_vm_ops = { .close = host_close };

static const struct file_operations host_fops = { .mmap = (void *)1 };
static struct address_space host_mapping;
static struct file host_file = { .f_mapping = &host_mapping, .f_op = &host_fops };
static struct task_struct host_task;
static const struct host_hooks *hooks;
static struct rcu_head *rcu_list;

struct task_struct *get_current(void)
{
	return &host_task;
}

unsigned long rlimit(unsigned int limit)
{
	return (unsigned long)-1;
}

void host_warning(const char *condition, const char *function, const char *file, int line)
{
	hooks->warning(hooks->data, condition, function, file, line);
}

void host_call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	head->func = func;
	head->next.next = (void *)rcu_list;
	rcu_list = head;
}

static void __zap_vma_range(struct mmu_gather *tlb, struct vm_area_struct *vma,
			    unsigned long start, unsigned long end, struct zap_details *details)
{
	hooks->zap(hooks->data, vma, start, end);
}

static int host_copy(struct vm_area_struct *dst, struct vm_area_struct *src)
{
	return hooks->copy(hooks->data, dst, src);
}

static unsigned long host_move(struct pagetable_move_control *pmc)
{
	return hooks->move(hooks->data, pmc->old->vm_mm, pmc->old_addr, pmc->new_addr,
			   pmc->len_in);
}

static void host_start(const struct host_hooks *new_hooks)
{
	static bool started;

	hooks = new_hooks;
	if (started)
		return;
	started = true;
	/* Dumps of the maple tree come in whole lines, between those of the tests. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	maple_tree_init();
	vma_state_init();
	anon_vma_init();
}

/* Ends a grace period, and returns the number of locks that were forgotten. */
static unsigned long host_end_step(void)
{
	int held = host_locks_held;

	while (rcu_list) {
		struct rcu_head *head = rcu_list;

		rcu_list = (void *)head->next.next;
		head->func(head);
	}
	host_locks_held = 0;
	return held;
}

static struct mm_struct *host_mm_new(void)
{
	struct mm_struct *mm = calloc(1, sizeof(*mm));

	mt_init_flags(&mm->mm_mt, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_LOCK_EXTERN | MT_FLAGS_USE_RCU);
	spin_lock_init(&mm->page_table_lock);
	return mm;
}

static void host_mm_free(struct mm_struct *mm)
{
	free(mm);
}

static long host_map(struct mm_struct *mm, unsigned long addr, unsigned long len,
		     unsigned long flags, bool file, unsigned long pgoff)
{
	current->mm = mm;
	return mmap_region(file ? &host_file : NULL, addr, len, legacy_to_vma_flags(flags),
			   file ? pgoff : addr >> PAGE_SHIFT, NULL);
}

static int host_unmap(struct mm_struct *mm, unsigned long addr, unsigned long len)
{
	VMA_ITERATOR(vmi, mm, addr);

	current->mm = mm;
	return do_vmi_munmap(&vmi, mm, addr, len, NULL, false);
}

static int host_change_flags(struct mm_struct *mm, unsigned long start, unsigned long end,
			     unsigned long set, unsigned long clear)
{
	VMA_ITERATOR(vmi, mm, start);
	struct vm_area_struct *vma = vma_find(&vmi, end), *prev = vma_prev(&vmi);
	struct mmu_gather tlb;
	unsigned long from = start;
	int error;

	current->mm = mm;
	if (!vma)
		return -ENOMEM;
	vma_iter_set(&vmi, start);
	for_each_vma_range(vmi, vma, end) {
		if (vma->vm_start > from)
			return -ENOMEM;
		if (vma->vm_start < from)
			prev = vma;
		/* mseal() passes over what is sealed; all others refuse it. */
		if (vma_is_sealed(vma) && (set & VM_SEALED)) {
			prev = vma;
			from = vma->vm_end;
			continue;
		}
		error = mprotect_fixup(&vmi, &tlb, vma, &prev, from, min(vma->vm_end, end),
				       (vma->vm_flags | set) & ~clear);
		if (error)
			return error;
		from = vma_iter_end(&vmi);
	}
	return from < end ? -ENOMEM : 0;
}

static long host_remap(struct mm_struct *mm, unsigned long addr, unsigned long old_len,
		       unsigned long new_len, unsigned long flags, unsigned long new_addr)
{
	struct vm_userfaultfd_ctx uf = {};
	LIST_HEAD(uf_unmap_early);
	LIST_HEAD(uf_unmap);
	struct vma_remap_struct vrm = {
		.addr = addr,
		.old_len = old_len,
		.new_len = new_len,
		.flags = flags,
		.new_addr = new_addr,
		.uf = &uf,
		.uf_unmap_early = &uf_unmap_early,
		.uf_unmap = &uf_unmap,
	};

	current->mm = mm;
	return do_mremap(&vrm);
}

static int host_fork(struct mm_struct *mm, struct mm_struct *parent)
{
	current->mm = parent;
	return dup_mmap(mm, parent);
}

static void host_exit(struct mm_struct *mm)
{
	current->mm = mm;
	exit_mmap(mm);
	mm->map_count = 0;
}

static int host_prepare(struct vm_area_struct *vma)
{
	current->mm = vma->vm_mm;
	return anon_vma_prepare(vma);
}

static struct vm_area_struct *host_vma_at_or_after(struct mm_struct *mm, unsigned long addr)
{
	return mt_find(&mm->mm_mt, &addr, ULONG_MAX);
}

static struct mm_struct *host_vma_mm(struct vm_area_struct *vma)
{
	return vma->vm_mm;
}

static void host_vma_read(struct vm_area_struct *vma, struct host_vma *to)
{
	*to = (struct host_vma) {
		.start = vma->vm_start,
		.end = vma->vm_end,
		.pgoff = vma_start_pgoff(vma),
		.anon_pgoff = vma_start_anon_pgoff(vma),
		.flags = vma->vm_flags,
		.anon_vma = vma->anon_vma,
		.file = vma->vm_file,
	};
}

static struct anon_vma_chain *host_chain_next(struct vm_area_struct *vma,
					      struct anon_vma_chain *link)
{
	struct list_head *next = link ? link->same_vma.next : vma->anon_vma_chain.next;

	return next == &vma->anon_vma_chain ? NULL :
		list_entry(next, struct anon_vma_chain, same_vma);
}

static struct anon_vma_chain *host_tree_next(struct anon_vma *anon_vma,
					     struct anon_vma_chain *link)
{
	struct rb_node *next = link ? rb_next(&link->rb) : rb_first_cached(&anon_vma->rb_root);

	return rb_entry_safe(next, struct anon_vma_chain, rb);
}

static void host_link_read(struct anon_vma_chain *link, struct host_link *to)
{
	*to = (struct host_link) {
		.vma = link->vma,
		.anon_vma = link->anon_vma,
		.first = avc_start_pgoff(link),
		.last = avc_last_pgoff(link),
		.subtree_last = link->rb_subtree_last,
		.left = rb_entry_safe(link->rb.rb_left, struct anon_vma_chain, rb),
		.right = rb_entry_safe(link->rb.rb_right, struct anon_vma_chain, rb),
	};
}

static void host_anon_vma_read(struct anon_vma *anon_vma, struct host_anon_vma *to)
{
	*to = (struct host_anon_vma) {
		.root = anon_vma->root,
		.parent = anon_vma->parent,
		.refcount = atomic_read(&anon_vma->refcount),
		.num_children = anon_vma->num_children,
		.num_active_vmas = anon_vma->num_active_vmas,
		.locked = rwsem_is_locked(&anon_vma->rwsem),
	};
}

static struct folio *host_folio_new(void)
{
	struct folio *folio = calloc(1, sizeof(*folio));

	atomic_set(&folio->_mapcount, -1);
	return folio;
}

static void host_folio_free(struct folio *folio)
{
	free(folio);
}

static void host_folio_read(struct folio *folio, struct host_folio *to)
{
	*to = (struct host_folio) {
		.mapping = (unsigned long)folio->mapping,
		.index = folio->index,
		.mapcount = atomic_read(&folio->_mapcount) + 1,
		.exclusive = PageAnonExclusive(&folio->page),
	};
}

static void host_folio_map_new(struct folio *folio, struct vm_area_struct *vma,
			       unsigned long addr, bool exclusive)
{
	folio_add_new_anon_rmap(folio, vma, addr, exclusive ? RMAP_EXCLUSIVE : RMAP_NONE);
}

static void host_folio_map(struct folio *folio, struct vm_area_struct *vma, unsigned long addr)
{
	folio_add_anon_rmap_ptes(folio, &folio->page, 1, vma, addr, RMAP_NONE);
}

static int host_folio_dup(struct folio *folio, struct vm_area_struct *dst,
			  struct vm_area_struct *src)
{
	return folio_try_dup_anon_rmap_pte(folio, &folio->page, dst, src);
}

static void host_folio_unmap(struct folio *folio, struct vm_area_struct *vma)
{
	folio_remove_rmap_ptes(folio, &folio->page, 1, vma);
}

/* As a write fault on the last mapping of a page does. */
static void host_folio_move(struct folio *folio, struct vm_area_struct *vma)
{
	folio_move_anon_rmap(folio, vma);
	SetPageAnonExclusive(&folio->page);
}

static bool host_visit(struct folio *folio, struct vm_area_struct *vma, unsigned long addr,
		       void *arg)
{
	return hooks->visit(hooks->data, vma, addr);
}

static void host_folio_walk(struct folio *folio)
{
	struct rmap_walk_control rwc = { .rmap_one = host_visit };

	rmap_walk_anon(folio, &rwc, false);
}

const struct host_api host_api = {
	.size = sizeof(struct host_api),
	.start = host_start,
	.end_step = host_end_step,
	.mm_new = host_mm_new,
	.mm_free = host_mm_free,
	.map = host_map,
	.unmap = host_unmap,
	.change_flags = host_change_flags,
	.remap = host_remap,
	.fork = host_fork,
	.exit = host_exit,
	.prepare = host_prepare,
	.vma_at_or_after = host_vma_at_or_after,
	.vma_mm = host_vma_mm,
	.vma_read = host_vma_read,
	.chain_next = host_chain_next,
	.tree_next = host_tree_next,
	.link_read = host_link_read,
	.anon_vma_read = host_anon_vma_read,
	.folio_new = host_folio_new,
	.folio_free = host_folio_free,
	.folio_read = host_folio_read,
	.folio_map_new = host_folio_map_new,
	.folio_map = host_folio_map,
	.folio_dup = host_folio_dup,
	.folio_unmap = host_folio_unmap,
	.folio_move = host_folio_move,
	.folio_walk = host_folio_walk,
	.fail_allocations = host_fail_allocations,
	.allocations = host_allocations,
	.cache = host_cache,
	.edges = host_edges,
	.damage = host_damage,
};
