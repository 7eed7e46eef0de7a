// SPDX-License-Identifier: GPL-2.0

//! The misc device: open, mmap, ioctl.
//!
//! The interface is that of [`include/uapi/shadow_rmap.h`].

use super::{
    check,
    events,
    live::LiveMm,
    mode::{
        Mode,
        ModeCell, //
    },
    numbers::Numbers,
    registry::{
        registry,
        Registry, //
    },
    violations::Reported,
    vm_ops, //
};
use crate::{
    bindings,
    kernel_ext::{
        gather::gather,
        gfp::GFP_BOUNDED, //
    },
    stats, //
};
use kernel::{
    fs::File,
    ioctl::{
        _IOC_NR,
        _IOC_TYPE,
        _IOR,
        _IOW, //
    },
    miscdevice::{
        MiscDevice,
        MiscDeviceRegistration, //
    },
    mm::virt::VmaNew,
    new_mutex,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        ArcBorrow,
        Mutex, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

const MAGIC: u32 = bindings::SHADOW_RMAP_IOC_MAGIC;
const IOC_CHECK: u32 = _IOR::<[u64; 7]>(MAGIC, 1);
const IOC_MODE: u32 = _IOW::<u32>(MAGIC, 2);

/// An open `/dev/shadow_rmap`, which several processes may have.
#[pin_data]
pub(crate) struct OpenFile {
    /// The state that it shares with the other open files.
    pub(crate) registry: Arc<Registry>,
    /// The address spaces that map it, by key.
    #[pin]
    mms: Mutex<RBTree<usize, Arc<LiveMm>>>,
    /// The VMAs that the shadow has.
    #[pin]
    pub(crate) numbers: Numbers,
    /// The kind of its mappings.
    mode: ModeCell,
    /// VMAs that the shadow could not follow, since the file was opened.
    pub(crate) untracked: Atomic<usize>,
    /// VMAs that exist now, and that the shadow does not have.
    missing: Atomic<usize>,
    /// The value of `untracked` for which a comparison has shown that the shadow is complete again.
    complete_at: Atomic<usize>,
    /// Events with two permitted outcomes, since the file was opened.
    pub(crate) ambiguous: Atomic<usize>,
    /// The violations that `SHADOW_RMAP_IOC_CHECK` has reported.
    reported: Reported,
    /// VMAs that count against `max_vmas`.
    vmas: Atomic<usize>,
    /// Pages that count against `max_pages`.
    pages: Atomic<usize>,
}

impl OpenFile {
    /// Returns the key of the file in the registry.
    fn key(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Returns whether its mappings are shadowed.
    pub(crate) fn is_shadowed(&self) -> bool {
        self.registry.limits.shadow
    }

    /// Returns whether the host may merge its mappings.
    pub(crate) fn is_mergeable(&self) -> bool {
        self.mode.get() == Mode::Mergeable
    }

    /// Returns the limit of pages.
    pub(crate) fn max_pages(&self) -> usize {
        self.registry.limits.max_pages
    }

    /// Counts a VMA that the shadow cannot follow.
    pub(crate) fn count_untracked(&self) {
        stats::UNTRACKED.inc();
        self.untracked.fetch_add(1, Relaxed);
    }

    /// Counts a new VMA that the shadow does not have.
    pub(crate) fn add_missing(&self) {
        if self.is_shadowed() {
            self.missing.fetch_add(1, Relaxed);
        }
    }

    /// Counts the end of a VMA that the shadow does not have.
    pub(crate) fn remove_missing(&self) {
        if self.is_shadowed() {
            self.missing.fetch_sub(1, Relaxed);
        }
    }

    /// Returns whether the shadow has all VMAs. All address spaces are locked.
    pub(crate) fn has_all_vmas(&self) -> bool {
        self.missing.load(Relaxed) == 0
    }

    /// Notes that the shadow was complete when `untracked` VMAs had been counted.
    pub(crate) fn set_complete_at(&self, untracked: usize) {
        self.complete_at.store(untracked, Relaxed);
    }

    /// Returns whether the shadow was complete, and no VMA has become untracked since.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete_at.load(Relaxed) == self.untracked.load(Relaxed)
    }

    /// Returns how many VMAs have become untracked since the shadow was complete.
    pub(super) fn untracked_now(&self) -> usize {
        let complete_at = self.complete_at.load(Relaxed);
        self.untracked.load(Relaxed).saturating_sub(complete_at)
    }

    /// Counts an event with two permitted outcomes.
    pub(crate) fn count_ambiguous(&self) {
        stats::AMBIGUOUS.inc();
        self.ambiguous.fetch_add(1, Relaxed);
    }

    /// Tells each address space whose `mmap_lock` is held now, except those with the keys `but`,
    /// that the links of a VMA change elsewhere. Sleeps.
    ///
    /// Such an address space may be forking: the host may have decided which anon_vma the fork
    /// reuses, and not have told the shadow yet.
    pub(crate) fn note_change(&self, but: &[usize]) {
        for (key, mm) in self.mms.lock().iter() {
            if !but.contains(key) && mm.may_fork_now() {
                mm.changed_around.store(true, Relaxed);
            }
        }
    }

    /// Returns whether the `mmap_lock` of any address space is held now, except those with the keys
    /// `but`. Sleeps.
    pub(crate) fn is_another_locked(&self, but: &[usize]) -> bool {
        let mms = self.mms.lock();
        let mut others = mms.iter().filter(|(key, _)| !but.contains(key));
        others.any(|(_, mm)| mm.is_locked_by_host())
    }

    /// Adds a VMA of `pages` pages to the counts.
    ///
    /// # Errors
    ///
    /// `ENOMEM` beyond `max_vmas`, `ENOSPC` beyond `max_pages`; then nothing is counted.
    pub(crate) fn charge(&self, pages: usize) -> Result {
        // What has no room is not counted for a moment either: another task may need the place.
        if pages > 0 && !self.has_room_to_grow(pages) {
            return Err(ENOSPC);
        }
        if !add(&self.vmas, 1, self.registry.limits.max_vmas) {
            return Err(ENOMEM);
        }
        // A split counts no pages, because those of the part were counted before.
        if pages > 0 && !add(&self.pages, pages, self.max_pages()) {
            self.vmas.fetch_sub(1, Relaxed);
            return Err(ENOSPC);
        }
        Ok(())
    }

    /// Returns whether another VMA of `pages` pages is within the limits.
    pub(crate) fn has_room_for(&self, pages: usize) -> bool {
        self.vmas.load(Relaxed) < self.registry.limits.max_vmas
            && (pages == 0 || self.has_room_to_grow(pages))
    }

    /// Removes a VMA from the counts.
    pub(crate) fn uncharge(&self, pages: usize) {
        self.vmas.fetch_sub(1, Relaxed);
        self.pages.fetch_sub(pages, Relaxed);
    }

    /// Returns whether VMAs may grow by so many pages.
    pub(crate) fn has_room_to_grow(&self, pages: usize) -> bool {
        self.pages.load(Relaxed).saturating_add(pages) <= self.max_pages()
    }

    /// Changes the number of pages of a VMA that has grown or shrunk.
    pub(crate) fn recharge(&self, from: usize, to: usize) {
        if to > from {
            self.pages.fetch_add(to - from, Relaxed);
        } else {
            self.pages.fetch_sub(from - to, Relaxed);
        }
    }

    /// Returns the address space with this key. Sleeps.
    pub(crate) fn mm(&self, key: usize) -> Option<Arc<LiveMm>> {
        self.mms.lock().get(&key).cloned()
    }

    /// Adds an address space. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn insert_mm(&self, mm: &Arc<LiveMm>) -> Result {
        let node = RBTreeNode::new(mm.key(), mm.clone(), GFP_BOUNDED)?;
        let replaced = self.mms.lock().insert(node);
        drop(replaced);
        Ok(())
    }

    /// Returns any address space. Sleeps.
    pub(crate) fn any_mm(&self) -> Option<Arc<LiveMm>> {
        self.mms.lock().values().next().cloned()
    }

    /// Removes an address space, after its last VMA. Sleeps.
    pub(crate) fn remove_mm(&self, mm: &LiveMm) {
        let removed = self.mms.lock().remove(&mm.key());
        drop(removed);
    }

    /// Returns the address spaces. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn mms(&self) -> Result<KVVec<Arc<LiveMm>>> {
        gather(
            || self.mms.lock(),
            |mms| mms.values().count(),
            |mms, all| {
                mms.values()
                    .try_for_each(|mm| all.push(mm.clone(), GFP_KERNEL_ACCOUNT))
            },
        )
    }

    /// `SHADOW_RMAP_IOC_CHECK`.
    fn check(this: ArcBorrow<'_, Self>, arg: usize) -> Result<isize> {
        let mut files = KVVec::new();
        files.push(this.into(), GFP_KERNEL_ACCOUNT)?;
        let checked = check::check(&this.registry, &files, &this.reported, &mut |_, _| {})?;
        let mut writer = UserSlice::new(UserPtr::from_addr(arg), size_of::<[u64; 7]>()).writer();
        for count in check::as_array(&checked.outcome) {
            writer.write(&count)?;
        }
        checked.delivered();
        Ok(0)
    }

    /// `SHADOW_RMAP_IOC_MODE`.
    fn set_mode(&self, arg: usize) -> Result<isize> {
        let mut reader = UserSlice::new(UserPtr::from_addr(arg), size_of::<u32>()).reader();
        match reader.read::<u32>()? {
            _ if self.mode.is_fixed() => return Err(EBUSY),
            bindings::SHADOW_RMAP_MODE_PINNED => self.mode.set(Mode::Pinned)?,
            bindings::SHADOW_RMAP_MODE_MERGEABLE => self.mode.set(Mode::Mergeable)?,
            _ => return Err(EINVAL),
        }
        Ok(0)
    }
}

#[vtable]
impl MiscDevice for OpenFile {
    type Ptr = Arc<Self>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Arc<Self>> {
        let registry = registry().ok_or(ENODEV)?;
        let shared = registry.clone();
        let reported = Reported::new(&registry.verified.lock());
        let file = Arc::pin_init(
            pin_init!(Self {
                registry: shared,
                mms <- new_mutex!(RBTree::new(), "shadow_rmap::mms"),
                numbers <- Numbers::new(),
                mode: ModeCell::new(),
                untracked: Atomic::new(0),
                missing: Atomic::new(0),
                complete_at: Atomic::new(0),
                ambiguous: Atomic::new(0),
                reported,
                vmas: Atomic::new(0),
                pages: Atomic::new(0),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let node = RBTreeNode::new(file.key(), file.clone(), GFP_KERNEL_ACCOUNT)?;
        registry.files.lock().insert(node);
        Ok(file)
    }

    fn release(device: Arc<Self>, _file: &File) {
        let removed = device.registry.files.lock().remove(&device.key());
        drop(removed);
        // Each VMA holds the file, so the host has none any more.
        events::released(&device);
    }

    fn mmap(device: ArcBorrow<'_, Self>, _file: &File, vma: &VmaNew) -> Result {
        device
            .mode
            .while_mapping(|mode| vm_ops::mmap(device, vma, mode))
    }

    fn ioctl(device: ArcBorrow<'_, Self>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            IOC_CHECK => Self::check(device, arg),
            IOC_MODE => device.set_mode(arg),
            // A command of this driver with another size or direction.
            _ if _IOC_TYPE(cmd) == MAGIC
                && [_IOC_NR(IOC_CHECK), _IOC_NR(IOC_MODE)].contains(&_IOC_NR(cmd)) =>
            {
                Err(EINVAL)
            }
            _ => Err(ENOTTY),
        }
    }
}

/// Adds `n` to a counter unless it would exceed `most`. Returns whether it has.
fn add(counter: &Atomic<usize>, n: usize, most: usize) -> bool {
    let mut now = counter.load(Relaxed);
    while let Some(sum) = now.checked_add(n).filter(|&sum| sum <= most) {
        match counter.cmpxchg(now, sum, Full) {
            Ok(_) => return true,
            Err(other) => now = other,
        }
    }
    false
}
