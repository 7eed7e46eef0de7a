// SPDX-License-Identifier: GPL-2.0
// Functions that the torture and the correct path share.  If one has a single caller, the compiler
// inlines it or fits it to what that caller passes; with scripts/same_code.py each may be called
// from here as well, both with and without the torture.

use crate::{
    rmap::rules::Rule,
    snapshot::{
        build::Builder,
        verify::verify,
        Graph, //
    },
};
use kernel::{
    fmt,
    prelude::*, //
};

#[used]
static VERIFY: fn(&Graph, &mut dyn FnMut(Rule, fmt::Arguments<'_>)) -> Result<usize> = verify;

#[used]
static FOUND: fn(&mut Builder, usize, usize) -> Result = Builder::found;
