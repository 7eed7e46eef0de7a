// SPDX-License-Identifier: GPL-2.0

//! Processes of the engine.

use engine::World;
use engine::world::{self, Space, State};
use host::random::Step;
use host::{Errno, Flags, Pid};

use crate::action::SIZE;

/// Processes of the engine, with the numbers that the host gives to its own.
pub struct Shadow {
    /// Dropped before the world.
    spaces: Vec<Option<Space>>,
    world: World,
}

impl Shadow {
    /// Makes a world without processes.
    ///
    /// # Panics
    ///
    /// Without memory.
    pub fn new() -> Self {
        Self {
            spaces: Vec::new(),
            world: World::new().expect("memory"),
        }
    }

    /// Returns the pids of the processes that live.
    pub fn pids(&self) -> Vec<Pid> {
        self.live().map(|(pid, _)| pid).collect()
    }

    fn live(&self) -> impl Iterator<Item = (Pid, &Space)> {
        let spaces = self.spaces.iter().enumerate();
        spaces.filter_map(|(pid, space)| Some((pid, space.as_ref()?)))
    }

    fn add(&mut self, space: Space) {
        match self.spaces.iter_mut().find(|space| space.is_none()) {
            Some(free) => *free = Some(space),
            None => self.spaces.push(Some(space)),
        }
    }

    fn space(&self, pid: Pid) -> Result<&Space, Errno> {
        self.spaces
            .get(pid)
            .and_then(Option::as_ref)
            .ok_or(Errno::ESRCH)
    }

    /// Takes the state of all processes.
    pub fn state(&self) -> State {
        world::state(self.live())
    }

    /// Verifies the engine's own structures; returns the first violation.
    ///
    /// # Panics
    ///
    /// Without memory.
    pub fn verify(&self) -> Option<(Option<&'static str>, String)> {
        let spaces: Vec<&Space> = self.live().map(|(_, space)| space).collect();
        world::verify(&spaces).expect("memory").first
    }

    /// Does a step by the engine's own rules, with the `fail`th of its allocations failing, from 1.
    /// Returns the result, and whether it came to that allocation.
    pub fn run(&mut self, step: Step, fail: usize) -> (Result<(), Errno>, bool) {
        if fail == 0 {
            return (self.do_step(step), false);
        }
        engine::world::failing(fail, || self.do_step(step))
    }

    fn do_step(&mut self, step: Step) -> Result<(), Errno> {
        let number = |page: u64| page as usize;
        let done = match step {
            Step::Spawn => {
                let space = self.world.space(number(SIZE), false);
                space.map(|space| self.add(space))
            }
            Step::Map {
                pid,
                page,
                pages,
                writable,
            } => {
                let flags = Flags::PRIVATE.0 & if writable { !0 } else { !Flags::WRITE.0 };
                let space = self.space(pid)?;
                space.map_over(number(page), number(pages), flags, None)
            }
            Step::MapFile {
                pid,
                page,
                pages,
                pgoff,
            } => {
                let (space, flags) = (self.space(pid)?, Flags::PRIVATE.0);
                space.map_over(number(page), number(pages), flags, Some(number(pgoff)))
            }
            Step::Unmap { pid, page, pages } => self.space(pid)?.unmap(number(page), number(pages)),
            Step::Write { pid, page } => self.space(pid)?.write(number(page), 0, 1),
            Step::Read { pid, page } => self.space(pid)?.read(number(page), 0).map(drop),
            Step::SwapOut { pid, page } => self.space(pid)?.swap_out(number(page), true).map(drop),
            Step::Change {
                pid,
                page,
                pages,
                set,
                clear,
            } => {
                let space = self.space(pid)?;
                space.change_flags(number(page), number(pages), set.0, clear.0)
            }
            Step::Move {
                pid,
                page,
                old,
                new,
                to,
                keep,
            } => {
                let space = self.space(pid)?;
                space.move_to(number(page), number(old), number(to), number(new), keep)
            }
            Step::Resize {
                pid,
                page,
                old,
                new,
            } => self
                .space(pid)?
                .resize(number(page), number(old), number(new)),
            Step::Fork { pid } => {
                let child = self.space(pid)?.fork();
                child.map(|child| self.add(child))
            }
            Step::Exit { pid } => {
                self.space(pid)?;
                self.spaces[pid] = None;
                Ok(())
            }
            Step::Fail { .. } => Ok(()),
        };
        done.map_err(|error| Errno(-error.to_errno()))
    }
}

impl Default for Shadow {
    fn default() -> Self {
        Self::new()
    }
}
