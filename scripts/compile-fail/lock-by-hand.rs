// SPDX-License-Identifier: GPL-2.0
// R34: proof that a lock is held comes from taking it.

use crate::rmap::mm::{
    Locked,
    Mm, //
};

struct Trust<'a>(&'a Mm);

impl Locked for Trust<'_> {
    fn mm(&self) -> &Mm {
        self.0
    }
}
