// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the processes that a check goes through.

use kernel::macros::kunit_tests;

#[kunit_tests(shadow_rmap_host_process)]
mod suite {
    use super::super::Processes;

    /// There are some, each once, by their pids.
    #[test]
    fn processes_of_now() {
        let mut last = 0;
        for process in Processes::now() {
            assert!(process.pid > last);
            last = process.pid;
        }
        assert!(last > 0);
    }

    /// All processes started after the kernel.
    #[test]
    fn later_processes_are_passed_by() {
        let mut none = Processes {
            next: Some(1),
            began: 0,
        };
        assert!(none.next().is_none());
        assert!(none.next().is_none());
    }
}
