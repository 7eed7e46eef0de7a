/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events of the engine and of live mappings; rust/trace.rs emits them.
 *
 * A VMA is shown by its number in debugfs chains, a page by its anonymous page offset. No field
 * is a kernel address. A module with events names their folder in SHADOW_RMAP_TRACE_SYSTEM.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM SHADOW_RMAP_TRACE_SYSTEM

#if !defined(_SHADOW_RMAP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _SHADOW_RMAP_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(shadow_rmap_prepare,
	    TP_PROTO(u64 vma, u64 neighbour, bool given),
	    TP_ARGS(vma, neighbour, given),
	    TP_STRUCT__entry(__field(u64, vma)
			     __field(u64, neighbour)
			     __field(bool, given)),
	    TP_fast_assign(__entry->vma = vma;
			   __entry->neighbour = neighbour;
			   __entry->given = given;),
	    TP_printk("vma=%llu neighbour=%llu given=%d",
		      __entry->vma, __entry->neighbour, __entry->given)
);

TRACE_EVENT(shadow_rmap_clone,
	    TP_PROTO(u64 source, u64 copy, unsigned long links),
	    TP_ARGS(source, copy, links),
	    TP_STRUCT__entry(__field(u64, source)
			     __field(u64, copy)
			     __field(unsigned long, links)),
	    TP_fast_assign(__entry->source = source;
			   __entry->copy = copy;
			   __entry->links = links;),
	    TP_printk("source=%llu copy=%llu links=%lu",
		      __entry->source, __entry->copy, __entry->links)
);

TRACE_EVENT(shadow_rmap_fork,
	    TP_PROTO(u64 parent, u64 child, unsigned long links, bool own),
	    TP_ARGS(parent, child, links, own),
	    TP_STRUCT__entry(__field(u64, parent)
			     __field(u64, child)
			     __field(unsigned long, links)
			     __field(bool, own)),
	    TP_fast_assign(__entry->parent = parent;
			   __entry->child = child;
			   __entry->links = links;
			   __entry->own = own;),
	    TP_printk("parent=%llu child=%llu links=%lu own=%d",
		      __entry->parent, __entry->child, __entry->links, __entry->own)
);

TRACE_EVENT(shadow_rmap_reuse,
	    TP_PROTO(u64 parent, u64 child, unsigned long place),
	    TP_ARGS(parent, child, place),
	    TP_STRUCT__entry(__field(u64, parent)
			     __field(u64, child)
			     __field(unsigned long, place)),
	    TP_fast_assign(__entry->parent = parent;
			   __entry->child = child;
			   __entry->place = place;),
	    TP_printk("parent=%llu child=%llu place=%lu",
		      __entry->parent, __entry->child, __entry->place)
);

TRACE_EVENT(shadow_rmap_merge,
	    TP_PROTO(u64 survivor, u64 gone, unsigned long links),
	    TP_ARGS(survivor, gone, links),
	    TP_STRUCT__entry(__field(u64, survivor)
			     __field(u64, gone)
			     __field(unsigned long, links)),
	    TP_fast_assign(__entry->survivor = survivor;
			   __entry->gone = gone;
			   __entry->links = links;),
	    TP_printk("survivor=%llu gone=%llu links=%lu",
		      __entry->survivor, __entry->gone, __entry->links)
);

TRACE_EVENT(shadow_rmap_unlink,
	    TP_PROTO(u64 vma, unsigned long links, unsigned long emptied),
	    TP_ARGS(vma, links, emptied),
	    TP_STRUCT__entry(__field(u64, vma)
			     __field(unsigned long, links)
			     __field(unsigned long, emptied)),
	    TP_fast_assign(__entry->vma = vma;
			   __entry->links = links;
			   __entry->emptied = emptied;),
	    TP_printk("vma=%llu links=%lu emptied=%lu",
		      __entry->vma, __entry->links, __entry->emptied)
);

TRACE_EVENT(shadow_rmap_move,
	    TP_PROTO(u64 from, u64 to, unsigned long pages),
	    TP_ARGS(from, to, pages),
	    TP_STRUCT__entry(__field(u64, from)
			     __field(u64, to)
			     __field(unsigned long, pages)),
	    TP_fast_assign(__entry->from = from;
			   __entry->to = to;
			   __entry->pages = pages;),
	    TP_printk("from=%llu to=%llu pages=%lu", __entry->from, __entry->to, __entry->pages)
);

TRACE_EVENT(shadow_rmap_move_page,
	    TP_PROTO(u64 vma, unsigned long index),
	    TP_ARGS(vma, index),
	    TP_STRUCT__entry(__field(u64, vma)
			     __field(unsigned long, index)),
	    TP_fast_assign(__entry->vma = vma;
			   __entry->index = index;),
	    TP_printk("vma=%llu index=%lu", __entry->vma, __entry->index)
);

DECLARE_EVENT_CLASS(shadow_rmap_lookup,
		    TP_PROTO(unsigned long index, bool locked),
		    TP_ARGS(index, locked),
		    TP_STRUCT__entry(__field(unsigned long, index)
				     __field(bool, locked)),
		    TP_fast_assign(__entry->index = index;
				   __entry->locked = locked;),
		    TP_printk("index=%lu locked=%d", __entry->index, __entry->locked)
);

DEFINE_EVENT(shadow_rmap_lookup, shadow_rmap_lookup_found,
	     TP_PROTO(unsigned long index, bool locked),
	     TP_ARGS(index, locked));

DEFINE_EVENT(shadow_rmap_lookup, shadow_rmap_lookup_waited,
	     TP_PROTO(unsigned long index, bool locked),
	     TP_ARGS(index, locked));

TRACE_EVENT(shadow_rmap_lookup_stale,
	    TP_PROTO(unsigned long index, unsigned int seen),
	    TP_ARGS(index, seen),
	    TP_STRUCT__entry(__field(unsigned long, index)
			     __field(unsigned int, seen)),
	    TP_fast_assign(__entry->index = index;
			   __entry->seen = seen;),
	    TP_printk("index=%lu seen=%s", __entry->index,
		      __print_symbolic(__entry->seen,
				       { 0, "unmapped" },
				       { 1, "unmapped-when-locked" },
				       { 2, "unmapped-when-pinned" }))
);

#endif /* _SHADOW_RMAP_TRACE_H */

/* The file is not in include/trace/events/. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE shadow_rmap_trace
#include <trace/define_trace.h>
