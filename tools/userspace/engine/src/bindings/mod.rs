// SPDX-License-Identifier: GPL-2.0

//! Stands for `rust/bindings` and `rust/helpers`: what the module adds to the kernel's own
//! bindings.
//!
//! # Safety
//!
//! Each function is unsafe because it is one of C, and demands what the C function of its name
//! demands: pointers are valid, locks are initialised, numbers are in range. That is "the caller's
//! promise" in these files.
//!
//! | module | C |
//! |---|---|
//! | `interval_tree`, `rbtree` | `rust/helpers/interval_tree.c`, `lib/rbtree.c` |
//! | `locks` | `rust/helpers/{mutex,rwsem,spinlock}.c` |
//! | `misc` | `rust/helpers/{cpumask,maple_tree,mm,percpu,rcu,sched}.c`, the slab flags |
//! | `numbers` | `rust/helpers/prandom.c`, `lib/random32.c`, `lib/sort.c` |

#![allow(non_camel_case_types, reason = "the names are those of C")]

mod interval_tree;
mod locks;
mod misc;
mod numbers;
mod rbtree;

pub(crate) use self::{
    interval_tree::*,
    locks::*,
    misc::*,
    numbers::*,
    rbtree::{rb_node, rb_root, rb_root_cached},
};
