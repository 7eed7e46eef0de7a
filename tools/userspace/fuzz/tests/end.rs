// SPDX-License-Identifier: GPL-2.0

//! The last exits of a sequence. The engine counts violations for the whole process: this is the only
//! test in it. `HOST_LIBRARY` names the host's code.

use engine::World;
use engine::world;
use fuzz::action::parse_all;
use fuzz::pair::Pair;

/// What the engine has found since the last step is a difference.
#[test]
fn a_violation_at_the_end_is_found() {
    let pair = || {
        let mut pair = Pair::new().expect("the host's code");
        for action in parse_all("spawn\nmap 0 0 8 rw\nwrite 0 0\nfork 0\n").expect("steps") {
            assert_eq!(pair.step(action), Ok(()));
        }
        pair
    };
    assert_eq!(pair().end(), None);
    let damaged = pair();
    let world = World::new().expect("memory");
    let parent = world.space(16, false).expect("memory");
    parent.map(0, 4, true).expect("a VMA");
    parent.write(1, 0, 7).expect("a page");
    let child = parent.fork().expect("memory");
    // Without the parent the references of the family are wrong.
    let found = world::verify(&[&child]).expect("memory").violations;
    assert_ne!(found, 0);
    drop((parent, child));
    let words = format!("the shadow: its own checks found {found} violations");
    assert_eq!(damaged.end().map(|wrong| wrong.words), Some(words));
    assert_eq!(pair().end(), None);
}
