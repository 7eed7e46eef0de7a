// SPDX-License-Identifier: GPL-2.0

//! Chooses steps: at random, but where something is.

use engine::world::{State, VmaState};
use host::Flags;
use host::random::{PAGES, PROCESSES, Random, Step};

use crate::action::Action;
use crate::pair::Pair;

/// What changes: most often that which a merge may undo.
const FLAGS: [Flags; 13] = [
    Flags::WRITE,
    Flags::WRITE,
    Flags::WRITE,
    Flags::WRITE,
    Flags::EXEC,
    Flags::RANDOM,
    Flags::RANDOM,
    Flags::RANDOM,
    Flags::LOCKED,
    Flags::DONTCOPY,
    Flags::WIPEONFORK,
    Flags::WIPEONFORK,
    Flags::SEALED,
];

/// `VM_ACCOUNT`
const ACCOUNT: u64 = 1 << 20;

/// The kinds of steps, and how often each is chosen.
const USUAL: [u64; 13] = [14, 3, 8, 30, 2, 4, 12, 6, 3, 7, 3, 1, 7];

/// Chooses the steps of one sequence.
pub struct Chooser<'a> {
    random: &'a mut Random,
    /// How often each kind is chosen in this sequence.
    weights: [u64; 13],
    /// Whether places are chosen by what is there.
    guided: bool,
}

impl<'a> Chooser<'a> {
    /// Begins a sequence. If it is `guided`, some kinds are rare in it, and some are frequent.
    pub fn new(random: &'a mut Random, guided: bool) -> Self {
        let mut weights = USUAL;
        if guided {
            for (kind, weight) in weights.iter_mut().enumerate() {
                // Not those that leave less: unmap, exit, spawn.
                if !matches!(kind, 2 | 10 | 11) {
                    *weight *= [1, 1, 1, 3][random.below(4) as usize];
                }
            }
        }
        Self {
            random,
            weights,
            guided,
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random.below(limit)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        if all.is_empty() {
            return None;
        }
        Some(all[self.below(all.len() as u64) as usize])
    }

    /// Chooses the next step.
    pub fn next(&mut self, pair: &Pair) -> Action {
        let step = self.step(&pair.pids(), pair.state());
        // A step that changes VMAs has more allocations, the most interesting ones first.
        let often = self.guided && matches!(step, Step::Change { .. } | Step::Map { .. });
        // Those of these grow with the number of VMAs.
        let many = matches!(
            step,
            Step::Fork { .. } | Step::Unmap { .. } | Step::Move { .. }
        );
        let fail = if self.one_in(if often { 5 } else { 16 }) {
            let most = if many { 64 } else { 12 };
            1 + self.below(most).min(self.below(most))
        } else {
            0
        };
        Action { fail, step }
    }

    fn kind(&mut self) -> usize {
        let mut place = self.below(self.weights.iter().sum());
        for (kind, &weight) in self.weights.iter().enumerate() {
            if place < weight {
                return kind;
            }
            place -= weight;
        }
        0
    }

    fn step(&mut self, pids: &[usize], state: &State) -> Step {
        let Some(pid) = self.one_of(pids) else {
            return Step::Spawn;
        };
        let (page, pages) = self.range(pid, state);
        let flip = self.one_in(2);
        match self.kind() {
            0 => Step::Map {
                pid,
                page,
                pages,
                writable: !self.one_in(4),
            },
            1 => Step::MapFile {
                pid,
                page,
                pages,
                pgoff: self.below(2) * 100 + page,
            },
            2 => Step::Unmap { pid, page, pages },
            3 => Step::Write {
                pid,
                page: self.touched(pid, page, state),
            },
            4 => Step::Read {
                pid,
                page: self.touched(pid, page, state),
            },
            5 => Step::SwapOut {
                pid,
                page: self.touched(pid, page, state),
            },
            6 => {
                if self.guided && self.one_in(3) {
                    if let Some(step) = self.equal(pid, state) {
                        return step;
                    }
                }
                let flag = self.one_of(&FLAGS).unwrap_or(Flags::WRITE);
                let (set, clear) = if flip {
                    (flag, Flags::NONE)
                } else {
                    (Flags::NONE, flag)
                };
                Step::Change {
                    pid,
                    page,
                    pages,
                    set,
                    clear,
                }
            }
            7 | 8 if self.one_in(3) => self.resize(pid, page, pages, state),
            7 | 8 => {
                let to = self.place(pid, pages, state);
                Step::Move {
                    pid,
                    page,
                    old: pages,
                    new: if self.one_in(3) {
                        1 + self.below(8)
                    } else {
                        pages
                    },
                    to,
                    keep: self.one_in(5),
                }
            }
            9 | 12 if pids.len() < PROCESSES && flip => Step::Fork { pid },
            10 | 12 => Step::Exit { pid },
            11 => Step::Spawn,
            _ if pids.len() < PROCESSES => Step::Fork { pid },
            _ => Step::Exit { pid },
        }
    }

    /// Gives a VMA the flags of its neighbour, so that both may become one.
    fn equal(&mut self, pid: usize, state: &State) -> Option<Step> {
        let pairs = state.vmas.windows(2);
        let pairs: Vec<[&VmaState; 2]> = pairs
            .filter(|two| two.iter().all(|vma| vma.pid == pid))
            .filter(|two| two[0].last + 1 == two[1].first && two[0].flags != two[1].flags)
            .map(|two| [&two[0], &two[1]])
            .collect();
        let mut two = self.one_of(&pairs)?;
        if self.one_in(2) {
            two.reverse();
        }
        // The host decides by itself what is accounted for, and nothing opens a seal.
        let others = !(ACCOUNT | Flags::SEALED.0);
        let [vma, like] = two.map(|vma| vma.flags & others);
        Some(Step::Change {
            pid,
            page: two[0].first as u64,
            pages: (two[0].last - two[0].first + 1) as u64,
            set: Flags(like & !vma),
            clear: Flags(vma & !like),
        })
    }

    /// Chooses a page that is touched: most often one that was before.
    fn touched(&mut self, pid: usize, page: u64, state: &State) -> u64 {
        if self.one_in(3) {
            return page;
        }
        let there = state.entries.iter().filter(|entry| entry.pid == pid);
        let there: Vec<u64> = there.map(|entry| entry.address as u64).collect();
        self.one_of(&there).unwrap_or(page)
    }

    /// Chooses a range: most often one that begins or ends where a VMA does.
    fn range(&mut self, pid: usize, state: &State) -> (u64, u64) {
        let vmas = state.vmas.iter().filter(|vma| vma.pid == pid);
        let edges: Vec<u64> = vmas
            .flat_map(|vma| [vma.first as u64, vma.last as u64 + 1])
            .filter(|&edge| edge < PAGES)
            .collect();
        let mut page = self.below(PAGES);
        let mut end = page + 1 + self.below((PAGES - page).min(12));
        if self.guided && self.one_in(2) {
            page = self.one_of(&edges).unwrap_or(page);
            end = end.max(page + 1);
        }
        if self.guided && self.one_in(2) {
            let edge = self.one_of(&edges).unwrap_or(end);
            end = if edge > page { edge } else { end };
        }
        (page, end.min(page + 16) - page)
    }

    /// Chooses where something is moved: often beside a VMA.
    fn place(&mut self, pid: usize, pages: u64, state: &State) -> u64 {
        let anywhere = self.below(PAGES);
        if !self.guided || self.one_in(2) {
            return anywhere;
        }
        let vmas = state.vmas.iter().filter(|vma| vma.pid == pid);
        let beside: Vec<u64> = vmas
            .flat_map(|vma| {
                [
                    Some(vma.last as u64 + 1),
                    (vma.first as u64).checked_sub(pages),
                ]
            })
            .flatten()
            .filter(|&place| place < PAGES)
            .collect();
        self.one_of(&beside).unwrap_or(anywhere)
    }

    /// Chooses another length: most often of what reaches to the end of a VMA.
    fn resize(&mut self, pid: usize, page: u64, pages: u64, state: &State) -> Step {
        let vmas = state.vmas.iter().filter(|vma| vma.pid == pid);
        let vmas: Vec<_> = vmas
            .map(|vma| (vma.first as u64, vma.last as u64))
            .collect();
        let mut range = (page, pages);
        if self.guided && !self.one_in(4) {
            if let Some((first, last)) = self.one_of(&vmas) {
                let from = first + self.below(last - first + 1);
                range = (from, last - from + 1);
            }
        }
        let (page, old) = range;
        let most = (crate::action::SIZE - page).min(12);
        Step::Resize {
            pid,
            page,
            old,
            new: 1 + self.below(most),
        }
    }
}
