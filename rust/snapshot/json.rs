// SPDX-License-Identifier: GPL-2.0

//! Prints a [`Graph`] as JSON, version 1: the debugfs files `chains.json` and `host/chains.json`.
//!
//! `{"version":1,"source":"shadow|host","mms":[{"id","pid","comm","vmas":[{"id","start","end", "pgoff","anon_vma","chain":[ids],"untracked"}]}],"anon_vmas":[{"id","root","parent","refcount", "num_children","num_active_vmas","pins","vmas":[ids]}],"pages":[{"id","anon_vma","index","mapcount","mapped_by":[ids]}]}`
//!
//! Addresses are in bytes, `pgoff` and `index` in pages. `anon_vma` is `null` if there is none. A
//! root is its own root and its own parent. `mapped_by` are the VMAs that map the page. The VMAs of
//! a family that the shadow has stopped following are `untracked`. `pins` are the references beyond
//! those of links and of the family, `null` if a part of the family is not in the graph.

use super::{
    text,
    Graph, //
};
use crate::kernel_ext::sched::resched_each;
use core::fmt::Write;
use kernel::{
    fmt,
    prelude::*, //
};

/// A JSON string made of bytes that a user process has chosen: it is always one string, in UTF-8.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    char if char.is_control() => {
                        f.write_fmt(fmt!("\\u{:04x}", u32::from(char)))?;
                    }
                    char => f.write_char(char)?,
                }
            }
            if !chunk.invalid().is_empty() {
                f.write_str("\\ufffd")?;
            }
        }
        f.write_char('"')
    }
}

/// A number, or `null`.
struct OrNull<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrNull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(number) => f.write_fmt(fmt!("{number}")),
            None => f.write_str("null"),
        }
    }
}

/// Prints `,` before each element except the first.
fn comma(f: &mut fmt::Formatter<'_>, first: &mut bool) -> fmt::Result {
    if core::mem::take(first) {
        return Ok(());
    }
    f.write_char(',')
}

/// Prints a list such as `[1,2]`.
fn numbers(f: &mut fmt::Formatter<'_>, list: impl Iterator<Item = u64>) -> fmt::Result {
    f.write_char('[')?;
    let mut first = true;
    for number in list {
        comma(f, &mut first)?;
        f.write_fmt(fmt!("{number}"))?;
    }
    f.write_char(']')
}

/// Prints the numbers of the VMAs with these indices.
fn ids(f: &mut fmt::Formatter<'_>, graph: &Graph, vmas: &[usize]) -> fmt::Result {
    let vmas = vmas.iter().filter_map(|&vma| graph.vmas.get(vma));
    numbers(f, vmas.map(|vma| vma.id))
}

/// Prints `graph` as one line of JSON.
pub(crate) fn show(graph: &Graph, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_fmt(fmt!(
        "{{\"version\":1,\"source\":\"{}\",\"mms\":[",
        text::owner(graph.source)
    ))?;
    let mut first = true;
    for (mm, _, vmas) in graph.mms_with_vmas() {
        comma(f, &mut first)?;
        f.write_fmt(fmt!(
            "{{\"id\":{},\"pid\":{},\"comm\":{},\"vmas\":[",
            mm.id,
            mm.pid,
            Quoted(text::name(&mm.comm))
        ))?;
        let mut first = true;
        for vma in resched_each(vmas) {
            comma(f, &mut first)?;
            f.write_fmt(fmt!(
                "{{\"id\":{},\"start\":{},\"end\":{},\"pgoff\":{},\"anon_vma\":{},\"chain\":",
                vma.id,
                vma.start,
                vma.end,
                vma.pgoff,
                OrNull(vma.anon_vma.map(|index| index + 1))
            ))?;
            numbers(f, vma.chain.iter().map(|&anon_vma| anon_vma as u64 + 1))?;
            f.write_fmt(fmt!(",\"untracked\":{}}}", vma.tainted))?;
        }
        f.write_str("]}")?;
    }
    f.write_str("],\"anon_vmas\":[")?;
    let mut first = true;
    for (index, node) in resched_each(&graph.anon_vmas).enumerate() {
        comma(f, &mut first)?;
        f.write_fmt(fmt!(
            "{{\"id\":{},\"root\":{},\"parent\":{},\"refcount\":{},\"num_children\":{},\"num_active_vmas\":{},\"pins\":{},\"vmas\":",
            index + 1,
            node.root + 1,
            node.parent + 1,
            node.refcount,
            node.num_children,
            node.num_active_vmas,
            OrNull(node.pins)
        ))?;
        ids(f, graph, &node.vmas)?;
        f.write_char('}')?;
    }
    f.write_str("],\"pages\":[")?;
    let mut first = true;
    for (index, page) in resched_each(&graph.pages).enumerate() {
        comma(f, &mut first)?;
        f.write_fmt(fmt!(
            "{{\"id\":{},\"anon_vma\":{},\"index\":{},\"mapcount\":{},\"mapped_by\":",
            index + 1,
            OrNull(page.anon_vma.map(|index| index + 1)),
            page.index,
            page.mapcount
        ))?;
        ids(f, graph, &page.mapped_by)?;
        f.write_char('}')?;
    }
    f.write_str("]}\n")
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_json)]
mod tests {
    use super::super::{
        sample,
        Source, //
    };
    use super::*;
    use kernel::str::CString;

    #[test]
    fn nothing() -> Result {
        assert!(shows(
            &Graph::new(Source::Host),
            "{\"version\":1,\"source\":\"host\",\"mms\":[],\"anon_vmas\":[],\"pages\":[]}\n"
        )?);
        Ok(())
    }

    #[test]
    fn three_generations() -> Result {
        // The strings are joined: the file has one line.
        let expected = concat!(
            r#"{"version":1,"source":"shadow","mms":["#,
            r#"{"id":1,"pid":41,"comm":"main","vmas":["#,
            r#"{"id":11,"start":65536,"end":81920,"pgoff":0,"anon_vma":1,"chain":[1],"untracked":false}]},"#,
            r#"{"id":2,"pid":42,"comm":"child","vmas":["#,
            r#"{"id":12,"start":65536,"end":81920,"pgoff":0,"anon_vma":2,"chain":[2,1],"untracked":false},"#,
            r#"{"id":13,"start":131072,"end":135168,"pgoff":4,"anon_vma":null,"chain":[],"untracked":true}]},"#,
            r#"{"id":3,"pid":43,"comm":"grand child","vmas":["#,
            r#"{"id":14,"start":65536,"end":81920,"pgoff":0,"anon_vma":3,"chain":[3,1,2],"untracked":false}]}],"#,
            r#""anon_vmas":["#,
            r#"{"id":1,"root":1,"parent":1,"refcount":3,"num_children":2,"num_active_vmas":1,"pins":0,"vmas":[11,12,14]},"#,
            r#"{"id":2,"root":1,"parent":1,"refcount":1,"num_children":1,"num_active_vmas":1,"pins":2,"vmas":[12,14]},"#,
            r#"{"id":3,"root":1,"parent":2,"refcount":1,"num_children":0,"num_active_vmas":1,"pins":null,"vmas":[14]}],"#,
            r#""pages":["#,
            r#"{"id":1,"anon_vma":1,"index":0,"mapcount":3,"mapped_by":[11,12,14]},"#,
            r#"{"id":2,"anon_vma":2,"index":1,"mapcount":2,"mapped_by":[12,14]},"#,
            r#"{"id":3,"anon_vma":3,"index":2,"mapcount":1,"mapped_by":[14]},"#,
            r#"{"id":4,"anon_vma":null,"index":1,"mapcount":-1,"mapped_by":[11]}]}"#,
            "\n"
        );
        let mut graph = sample::generations(Source::Shadow)?;
        let page = graph.pages.get_mut(3).ok_or(EINVAL)?;
        (page.anon_vma, page.mapcount) = (None, -1);
        graph.vmas.get_mut(2).ok_or(EINVAL)?.tainted = true;
        graph.anon_vmas.get_mut(1).ok_or(EINVAL)?.pins = Some(2);
        graph.anon_vmas.get_mut(2).ok_or(EINVAL)?.pins = None;
        assert!(shows(&graph, expected)?);
        Ok(())
    }

    #[test]
    fn names_of_processes() -> Result {
        for (comm, expected) in [
            (&b"a b"[..], r#""a b""#),
            (b"", r#""""#),
            (b"zero\0dead", r#""zero""#),
            (b"\"},{\"pid\":1", r#""\"},{\"pid\":1""#),
            (b"back\\slash", r#""back\\slash""#),
            (b"\n\t\x01\x7f", r#""\u000a\u0009\u0001\u007f""#),
            ("h\u{e9}\u{1f980}".as_bytes(), "\"h\u{e9}\u{1f980}\""),
            (b"\xff-\xfe", r#""\ufffd-\ufffd""#),
            // A letter of two bytes that is cut in half at the end.
            (b"0123456789abcd\xc3", r#""0123456789abcd\ufffd""#),
            // A name without a zero byte.
            (b"0123456789abcdef", r#""0123456789abcdef""#),
            // C1 controls are control characters as well.
            (b"\xc2\x9b2J", r#""\u009b2J""#),
        ] {
            let comm = sample::comm(comm);
            let text = CString::try_from_fmt(fmt!("{}", Quoted(text::name(&comm))))?;
            assert!(sample::is(text.to_bytes(), expected));
        }
        Ok(())
    }

    fn shows(graph: &Graph, expected: &str) -> Result<bool> {
        Ok(sample::is(sample::shown(graph, show)?.to_bytes(), expected))
    }
}
