// SPDX-License-Identifier: GPL-2.0

//! Shared by the tests of the core: address spaces of one VMA each, without page tables, and a way
//! to let another thread act between two steps of an operation.
//!
//! No test waits for a race. It names the [`Window`](super::window::Window) and what another thread
//! does when the operation is there ([`at`]), so it comes out the same way every time.
//!
//! # Checks of the loaded engine, and the tests in which they fire
//!
//! These tests damage the data under the correct steps, and see one violation of the rule. A check
//! that is taken out of the engine makes its test fail.
//!
//! | rule | check | test |
//! |---|---|---|
//! | R1 | `PageRmap::load`, `anon_vma_key` | `page::damage_of_the_tag_is_noticed` |
//! | R2 | `PageRmap::remove_rmap` | `page::damage_of_the_mapping_is_noticed` |
//! | R3 | `PageRmap::add_new_anon_rmap`, `add_anon_rmap`, `remove_rmap` | `page::damage_of_the_mapcount_is_noticed` |
//! | R5 | `AnonVma::try_get` | `anon_vma::damage_of_an_anon_vma_is_noticed_by_a_pin` |
//! | R5 | `AnonVma::try_lock`, twice | `lookup::damage_of_an_anon_vma_is_noticed_by_a_lock` |
//! | R5 | `FamilyRead::drop` | `family::damage_of_a_locked_anon_vma_is_noticed` |
//! | R6 | `AnonVma::alloc` | `anon_vma::damage_of_a_free_anon_vma_is_noticed` |
//! | R6 | `free_last` | `anon_vma::damage_of_a_dying_anon_vma_is_noticed` |
//! | R9 | `FamilyRead::drop` | `family::damage_of_an_rcu_reader_is_noticed` |
//! | R10 | `wait` | `lookup_windows::damage_of_a_pinned_life_is_noticed` |
//! | R11 | `free` | `lookup::a_put_under_rcu_is_noticed` |
//! | R12 | `is_same`, for a lock and a pin | `lookup_windows::damage_of_a_life_is_noticed` |
//! | R13 | `confirm` | `lookup_windows::damage_of_a_root_is_noticed` |
//! | R13 | `LockedAnonVma::drop` | `family::damage_of_a_locked_root_is_noticed` |
//! | R14 | `AnonVma::adopt` | `anon_vma::damage_by_a_late_adoption_is_noticed` |
//! | R15 | `FamilyWrite::link`, `publish` | `family::damage_by_a_foreign_family_is_noticed` |
//! | R15 | `Vma::unlink_all` | `unlink::damage_of_a_family_is_noticed` |
//! | R15 | `Vma::take_links_of` | `chain::damage_by_a_move_to_another_family_is_noticed` |
//! | R15, R29 | `FamilyWrite::is_linkable`, with lockdep | `family::damage_of_a_write_lock_is_noticed` |
//! | R16 | `free_last` | `free::damage_of_a_root_is_noticed_by_its_children` |
//! | R17 | `LockedAnonVma::drop` | `family::damage_of_a_locked_life_is_noticed` |
//! | R18 | `AnonVma::lock_read` | `family::damage_of_a_reference_is_noticed_by_a_reader` |
//! | R18 | `FamilyWrite::is_linkable` | `family::damage_by_a_mere_pin_is_noticed` |
//! | R18 | `confirm` | `lookup::damage_by_an_early_unlink_is_noticed` |
//! | R19 | `Vma::move_anon_rmap`, twice | `vma_pages::damage_of_a_page_is_noticed_by_a_move` |
//! | R20 | `PageRmap::add_new_anon_rmap`, `take_mapping_of`, `lead_to` | `page::damage_of_a_new_page_is_noticed` |
//! | R20 | `Vma::add_new_anon_rmap` | `vma_pages::damage_of_a_root_is_noticed_by_a_fault` |
//! | R21 | `anon_vma_clone` | `clone::damage_of_a_number_of_links_is_noticed` |
//! | R22 | `anon_vma_fork` | `fork::damage_of_a_chain_is_noticed` |
//! | R23 | `anon_vma_fork` | `fork::damage_of_a_family_is_noticed`, `damage_of_a_number_of_links_is_noticed` |
//! | R24 | `free_last` | `free::damage_of_the_counters_is_noticed` |
//! | R24 | `FamilyWrite::deactivate` | `unlink::damage_of_the_active_count_is_noticed` |
//! | R24 | `anon_vma_clone` | `clone::damage_of_a_reused_anon_vma_is_noticed`, `fork_reuse::a_parent_of_two_that_is_reused_is_noticed` |
//! | R25 | `anon_vma_merge` | `merge::damage_of_a_family_is_noticed_by_a_merge` |
//! | R26 | `anon_vma_merge` | `merge::damage_of_a_chain_is_noticed_by_a_merge` |
//! | R26 | `dup_anon_vma` | `merge::damage_of_a_source_is_noticed_by_a_dup` |
//! | R27 | `anon_vma_prepare` | `prepare::damage_of_a_neighbour_is_noticed` |
//! | R28 | `attach` | `prepare::damage_of_a_number_of_links_is_noticed` |
//! | R31 | `FamilyWrite::publish` | `chain::damage_by_a_second_anon_vma_is_noticed`, `clone::damage_of_a_copy_is_noticed` |
//! | R32 | `Vma::set_shift` | `vma::damage_by_a_late_shift_is_noticed` |
//! | R32 | `Vma::set_range`, with `DEBUG_VM` | `vma::damage_of_a_tree_is_noticed` |
//! | R33 | `Vma::unlink_all` | `unlink::damage_of_an_anon_vma_is_noticed` |
//! | R33 | `Vma::drop` | `unlink::damage_by_a_forgotten_unlink_is_noticed` |
//! | R37 | `anon_vma_clone` | `clone::damage_of_a_failed_clone_is_noticed` |
//! | R37 | `undo_dup` | `merge::damage_of_an_undone_dup_is_noticed` |

mod threads;
mod window;
mod world;

pub(crate) use threads::{
    wait_for,
    Job, //
};
pub(crate) use window::{
    at,
    Hooked, //
};
pub(crate) use world::{
    live,
    map_again,
    Process,
    World, //
};

use crate::kernel_ext::rwonce::ReadWriteOnce;
use kernel::sync::atomic::{
    Atomic,
    AtomicType, //
};

/// Runs `f` while `word` has another value, and repairs the damage.
pub(crate) fn damaged<V: AtomicType + Copy, T>(
    word: &Atomic<V>,
    value: V,
    f: impl FnOnce() -> T,
) -> T {
    let right = word.read_once();
    word.write_once(value);
    let result = f();
    word.write_once(right);
    result
}
