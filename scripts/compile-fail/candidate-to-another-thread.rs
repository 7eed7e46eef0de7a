// SPDX-License-Identifier: GPL-2.0
// R9: the thread that entered the RCU read section leaves it.

use crate::{
    kernel_ext::typesafe::Candidate,
    rmap::page::PageRmap, //
};

fn another_thread<T: Send>(_: T) {}

fn send(candidate: Candidate<'_, PageRmap>) {
    another_thread(candidate)
}
