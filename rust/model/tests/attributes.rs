// SPDX-License-Identifier: GPL-2.0

//! Tests of `attributes.rs`, and of what a fork does with flags.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_attributes)]
mod suite {
    use super::super::super::{
        mm::Mm,
        verify::verify,
        Model, //
    };
    use super::super::*;
    use crate::{
        kernel_ext::rwsem::RwSem,
        rmap::{
            anon_vma::Cache,
            prepare::Sharing, //
        },
    };
    use kernel::{
        prelude::*,
        sync::Arc, //
    };

    const RW: VmFlags = VmFlags::READ.with(VmFlags::WRITE);

    /// Memory is accounted for when it becomes writable, and no more when it was never written to.
    #[test]
    fn accounting_follows_the_protection() {
        let change = |prot: Prot, old, plain| {
            let change = Change {
                accounts: true,
                ..Change::from(prot)
            };
            change.apply(old, plain)
        };
        let accounted = RW.with(VmFlags::ACCOUNT);
        let kept = VmFlags::READ.with(VmFlags::ACCOUNT);

        assert!(RW.accounted() == accounted && VmFlags::READ.accounted() == VmFlags::READ);
        assert!(change(Prot::WRITE, VmFlags::READ, true) == accounted);
        assert!(change(Prot::READ, accounted, true) == VmFlags::READ);
        assert!(change(Prot::READ, accounted, false) == kept);
        // What changes nothing does not account.
        assert!(change(Prot::WRITE, RW, true) == RW);
        assert!(Change::from(Prot::WRITE).apply(VmFlags::READ, true) == RW);
    }

    /// Two VMAs of the file can be merged only where its offsets go on; neighbours share an
    /// anon_vma whatever their protection is.
    #[test]
    fn neighbours_are_compared() {
        let file = Attributes::of_file(RW, 104, 4);
        let anonymous = Attributes::anonymous(RW);
        let locked = anonymous.with_flags(RW.with(VmFlags::LOCKED));

        assert!(file == Attributes::of_file(RW, 108, 8) && file != Attributes::of_file(RW, 107, 8));
        assert!(file.file_pgoff(6) == Some(106) && anonymous.file_pgoff(6).is_none());
        assert!(file.moved(4, 20).file_pgoff(20) == Some(104));
        assert!(!file.may_go() && anonymous.may_go() && file != anonymous);
        assert!(file.may_share(file.with_flags(VmFlags::READ)) && !file.may_share(anonymous));
        assert!(anonymous.may_share(Prot::READ.into()) && !anonymous.may_share(locked));
    }

    /// A fork leaves out VMAs, or their pages, or the lock, as their flags say (R23).
    #[test]
    fn a_fork_obeys_the_flags() -> Result {
        let cache = Arc::new(Cache::<Model<RwSem>>::new()?, GFP_KERNEL)?;
        let parent = Mm::new(&cache, 32, Sharing::Singleton)?;
        let flags = [
            VmFlags::NONE,
            VmFlags::DONTCOPY,
            VmFlags::WIPEONFORK,
            VmFlags::LOCKED,
        ];
        for (first, flag) in (0..).step_by(4).zip(flags) {
            parent.map_over(first, 4, Attributes::anonymous(RW.with(flag)))?;
            parent.write(first, 0, 7)?;
        }
        let child = parent.fork()?;
        let read = [0, 4, 8, 12].map(|address| child.read(address, 0).ok());
        let vma = |address| child.space().vmas.find(address);
        let wiped = vma(8).is_some_and(|vma| vma.core.is_unfaulted());
        let unlocked = vma(12).is_some_and(|vma| !vma.flags().has(VmFlags::LOCKED));
        let exclusive = [0, 8].map(|address| {
            let page = parent.page_at(address);
            page.is_some_and(|page| page.is_exclusive())
        });
        let clean = verify(&[&parent, &child])?.is_clean();

        assert!(read == [Some(7), None, Some(0), Some(7)]);
        assert!(wiped && unlocked && clean);
        // The child has the first page, and not the wiped one (R20).
        assert!(exclusive == [false, true]);
        Ok(())
    }
}
