// SPDX-License-Identifier: GPL-2.0

//! Damage to the host's structures, which shows that a check notices it.

use crate::ffi::{Field, Folio};
use crate::host::{Host, Pid};
use crate::tables::Entry;

/// An object of the host's code: by pid and address.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The VMA.
    Vma(Pid, u64),
    /// A link of the VMA, by its place on the chain.
    Link(Pid, u64, usize),
    /// `vma->anon_vma` of the VMA.
    AnonVma(Pid, u64),
    /// The page.
    Page(Pid, u64),
    /// The anon_vma of the page.
    AnonVmaOfPage(Pid, u64),
}

/// What [`Host::damage`] writes.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// This number.
    Number(u64),
    /// The address of an object; with the tag for `folio->mapping`.
    Of(Target),
}

/// What [`Host::repair`] needs.
pub struct Damage {
    address: u64,
    field: Field,
    old: u64,
}

impl Host {
    /// Overwrites a field of the host's structures, to show that a check notices. `object` and, for
    /// a field that is a pointer, `value` are chosen by [`Target`]. Returns what undoes it.
    pub fn damage(&mut self, object: Target, field: Field, value: Value) -> Damage {
        let address = self.address(object);
        let value = match value {
            Value::Number(number) => number,
            Value::Of(Target::AnonVmaOfPage(pid, at)) if field == Field::FolioMapping => {
                self.address(Target::AnonVmaOfPage(pid, at))
            }
            Value::Of(target) if field == Field::FolioMapping => self.address(target) + 1,
            Value::Of(target) => self.address(target),
        };
        let old = self.library.damage(address, field, value);
        Damage {
            address,
            field,
            old,
        }
    }

    /// Undoes [`Self::damage`].
    pub fn repair(&mut self, damage: Damage) {
        self.library
            .damage(damage.address, damage.field, damage.old);
    }

    fn address(&mut self, target: Target) -> u64 {
        let place = |host: &Self, pid, at| {
            host.mm(pid)
                .and_then(|mm| host.vma(mm, at))
                .expect("an address that is mapped")
                .0
        };
        match target {
            Target::Vma(pid, at) => place(self, pid, at).address(),
            Target::Link(pid, at, nth) => {
                let vma = place(self, pid, at);
                self.library.chain(vma).nth(nth).expect("a link").address()
            }
            Target::AnonVma(pid, at) => {
                let vma = place(self, pid, at);
                self.library
                    .vma(vma)
                    .anon_vma
                    .expect("an anon_vma")
                    .address()
            }
            Target::Page(pid, at) => self.folio_at(pid, at).address(),
            Target::AnonVmaOfPage(pid, at) => {
                let folio = self.folio_at(pid, at);
                self.library.folio(folio).mapping & !3
            }
        }
    }

    fn folio_at(&mut self, pid: Pid, at: u64) -> Folio {
        let mm = self.mm(pid).expect("a process");
        match self.shared.with(|tables| tables.entry(mm, at)) {
            Some(Entry::Page(folio)) => folio,
            _ => panic!("no page at {at:#x} of process {pid}"),
        }
    }
}
