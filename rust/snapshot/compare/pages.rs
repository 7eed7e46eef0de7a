// SPDX-License-Identifier: GPL-2.0

//! Finds each page of one graph in the other.

use crate::{
    kernel_ext::{
        sched::{
            cond_resched,
            resched_each, //
        },
        sort::sort_by_key, //
    },
    snapshot::Graph, //
};
use core::cmp::Ordering;
use kernel::prelude::*;

/// The places of one page in the shadow's graph and in the host's; `None` where a graph lacks it.
pub(super) type PagePair = (Option<usize>, Option<usize>);

/// Pairs the pages of the two graphs that have the same key.
///
/// Both graphs list the pages in the order of the same VMAs, so that most pages have the same place.
/// The others are sorted by their keys.
///
/// # Errors
///
/// [`ENOMEM`].
pub(super) fn pair_pages(shadow: &Graph, host: &Graph) -> Result<KVVec<PagePair>> {
    let most = shadow.pages.len().max(host.pages.len());
    let mut pairs = KVVec::with_capacity(most, GFP_KERNEL_ACCOUNT)?;
    let (mut left, mut left_host) = (KVVec::new(), KVVec::new());
    for place in resched_each(0..most) {
        let keys = [shadow, host].map(|graph| graph.pages.get(place).map(|page| page.key));
        if keys[0] == keys[1] {
            pairs.push((Some(place), Some(place)), GFP_KERNEL_ACCOUNT)?;
            continue;
        }
        for (key, left) in keys.into_iter().zip([&mut left, &mut left_host]) {
            if let Some(key) = key {
                left.push((key, place), GFP_KERNEL_ACCOUNT)?;
            }
        }
    }
    sort_by_key(&mut left, |&page| page);
    sort_by_key(&mut left_host, |&page| page);
    let (mut left, mut left_host) = (left.iter().peekable(), left_host.iter().peekable());
    loop {
        cond_resched();
        let order = match (left.peek(), left_host.peek()) {
            (None, None) => return Ok(pairs),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(page), Some(host)) => page.0.cmp(&host.0),
        };
        let page = left.next_if(|_| order.is_le()).map(|page| page.1);
        let host = left_host.next_if(|_| order.is_ge()).map(|page| page.1);
        pairs.push((page, host), GFP_KERNEL_ACCOUNT)?;
    }
}
