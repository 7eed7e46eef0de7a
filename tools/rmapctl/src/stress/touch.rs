// SPDX-License-Identifier: GPL-2.0

//! Reads and writes of pages that another thread may unmap at any time.
//!
//! A fault from user space takes another path through the host than one inside a system call, so the
//! access is an instruction. The handler of `SIGSEGV` skips it, and says so in a register.

use anyhow::{Context, Result};
use nix::libc::{self, c_int, c_void, siginfo_t, ucontext_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::arch::asm;

/// `mov [rdi], cl` and `mov cl, [rdi]`.
const WRITE: [u8; 2] = [0x88, 0x0f];
const READ: [u8; 2] = [0x8a, 0x0f];

extern "C" fn skip(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    let context = context.cast::<ucontext_t>();
    // SAFETY: The kernel passes the context of the fault, whose instruction could be fetched.
    let (registers, code) = unsafe {
        let registers = &mut (*context).uc_mcontext.gregs;
        let code = registers[libc::REG_RIP as usize] as *const [u8; 2];
        (registers, code.read())
    };
    if code == WRITE || code == READ {
        registers[libc::REG_RIP as usize] += 2;
        registers[libc::REG_RAX as usize] = 0;
        return;
    }
    // A fault of the program itself: it comes again, and kills the process.
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: The default action runs no code of ours.
        let _ = unsafe { sigaction(signal, &default) };
    }
}

/// Lets this process survive the accesses of this module.
pub(super) fn survive_faults() -> Result<()> {
    let action = SigAction::new(
        SigHandler::SigAction(skip),
        SaFlags::SA_SIGINFO,
        SigSet::empty(),
    );
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: The handler changes the registers of the code below only.
        unsafe { sigaction(signal, &action) }.context("sigaction")?;
    }
    Ok(())
}

/// Writes `byte`; returns false if the page cannot be written to.
///
/// # Safety
///
/// [`survive_faults`] was called, and nothing in this program uses the page.
pub(super) unsafe fn write(address: *mut c_void, byte: u8) -> bool {
    let mut done: u64 = 1;
    // SAFETY: By the contract the page is of no use to the compiler, and a fault is skipped.
    unsafe {
        asm!("mov [rdi], cl", in("rdi") address, in("cl") byte, inout("rax") done,
             options(nostack, preserves_flags));
    }
    done == 1
}

/// Reads a byte; returns false if the page cannot be read.
///
/// # Safety
///
/// As for [`write`].
pub(super) unsafe fn read(address: *mut c_void) -> bool {
    let mut done: u64 = 1;
    // SAFETY: As for `write`.
    unsafe {
        asm!("mov cl, [rdi]", in("rdi") address, out("cl") _, inout("rax") done,
             options(nostack, preserves_flags));
    }
    done == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect};
    use std::num::NonZeroUsize;

    #[test]
    fn a_fault_is_survived() {
        survive_faults().expect("is set");
        let length = NonZeroUsize::new(4096).expect("is not 0");
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping, which this test alone uses.
        let page = unsafe { mmap_anonymous(None, length, prot, MapFlags::MAP_PRIVATE) };
        let page = page.expect("is mapped");
        // SAFETY: As above; the faults are survived.
        unsafe {
            assert!(write(page.as_ptr(), 7) && read(page.as_ptr()));
            assert_eq!(page.cast::<u8>().read_volatile(), 7);
            mprotect(page, 4096, ProtFlags::PROT_READ).expect("is protected");
            assert!(!write(page.as_ptr(), 8) && read(page.as_ptr()));
            assert_eq!(page.cast::<u8>().read_volatile(), 7);
            mprotect(page, 4096, ProtFlags::PROT_NONE).expect("is protected");
            assert!(!read(page.as_ptr()));
        }
    }
}
