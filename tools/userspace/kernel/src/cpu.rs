// SPDX-License-Identifier: GPL-2.0

//! Mirrors `kernel::cpu`. The CPUs that this process may run on are online.

use std::sync::OnceLock;

/// `cpu_set_t`: one bit for each CPU.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CpuSet([u64; 16]);

extern "C" {
    fn sched_getcpu() -> i32;
    fn sched_getaffinity(pid: i32, size: usize, set: *mut CpuSet) -> i32;
    fn sched_setaffinity(pid: i32, size: usize, set: *const CpuSet) -> i32;
}

/// Returns the CPUs of the first thread that asked.
fn online() -> &'static CpuSet {
    static ONLINE: OnceLock<CpuSet> = OnceLock::new();
    ONLINE.get_or_init(|| {
        let mut set = CpuSet([0; 16]);
        // SAFETY: The set is valid, and has the size that is given.
        unsafe { sched_getaffinity(0, size_of::<CpuSet>(), &mut set) };
        set
    })
}

/// Mirrors `cpu_online()`.
pub fn is_online(cpu: u32) -> bool {
    let word = online().0.get(cpu as usize / 64);
    word.is_some_and(|word| word >> (cpu % 64) & 1 != 0)
}

/// Mirrors `kernel::cpu::nr_cpu_ids`.
pub fn nr_cpu_ids() -> u32 {
    (0..1024)
        .rfind(|&cpu| is_online(cpu))
        .map_or(1, |last| last + 1)
}

/// Lets the calling thread run on CPU `cpu` only.
pub(crate) fn bind(cpu: u32) {
    let mut set = CpuSet([0; 16]);
    if let Some(word) = set.0.get_mut(cpu as usize / 64) {
        *word |= 1 << (cpu % 64);
    }
    // SAFETY: The set is valid, and has the size that is given.
    let result = unsafe { sched_setaffinity(0, size_of::<CpuSet>(), &set) };
    assert_eq!(result, 0, "kthread_bind(): CPU {cpu} is not online");
}

/// Mirrors `kernel::cpu::CpuId`.
pub struct CpuId(u32);

impl CpuId {
    /// Mirrors `CpuId::current`. The thread may run elsewhere by the time this returns.
    pub fn current() -> Self {
        // SAFETY: The function has no preconditions.
        Self(u32::try_from(unsafe { sched_getcpu() }).unwrap_or(0))
    }

    /// Mirrors `CpuId::as_u32`.
    pub fn as_u32(&self) -> u32 {
        self.0
    }
}
