// SPDX-License-Identifier: GPL-2.0

//! Compares the state of the shadow with that of the host.
//!
//! Both number objects in the order in which they are met, so equal states are equal data. What
//! differs is named by the rule that one of the two sides has broken.

use std::fmt;

use engine::world::{AnonVmaState, Entry, PageState, State, VmaState};
use host::graph::Graph;
use host::random::BASE;
use host::{Errno, PAGE_SIZE};

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The rule that it is about: 21 for R21.
    pub rule: Option<u32>,
    /// What is different, in words.
    pub words: String,
}

impl Difference {
    /// Makes one.
    pub fn new(rule: impl Into<Option<u32>>, words: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            words: words.into(),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(rule) => write!(f, "R{rule}: {}", self.words),
            None => write!(f, "{}", self.words),
        }
    }
}

/// Which rule a warning of the host is about: by what its condition names.
const CONDITIONS: [(&str, u32); 7] = [
    ("locks are held", 15),
    ("rwsem", 15),
    ("num_children", 24),
    ("num_active_vmas", 24),
    ("refcount", 16),
    ("anon_vma", 26),
    ("pgoff", 41),
];

/// Returns what the host's code complains of: a warning, or a lock that it forgot.
pub fn problem(text: &str) -> Difference {
    // The name of the function may have the same words.
    let condition = text
        .split_once("(): ")
        .map_or(text, |(_, condition)| condition);
    let condition = condition.split(" (/").next().unwrap_or(condition);
    let rule = CONDITIONS.iter().find(|(part, _)| condition.contains(part));
    Difference::new(rule.map(|&(_, rule)| rule), format!("the host: {text}"))
}

/// Returns the host's graph in the form of the shadow's: addresses and page offsets in pages, from
/// the first page that steps use.
pub fn of_host(graph: &Graph) -> State {
    let page = |address: u64| (address.wrapping_sub(BASE) / PAGE_SIZE) as usize;
    let offset = |pgoff: u64| pgoff.wrapping_sub(BASE / PAGE_SIZE) as usize;
    let known = |number: usize| (number < graph.anon_vmas.len()).then_some(number);
    let vma = |vma: &host::graph::Vma| VmaState {
        pid: vma.pid,
        first: page(vma.start),
        last: page(vma.end).wrapping_sub(1),
        pgoff: offset(vma.anon_pgoff),
        // An anonymous VMA has one page offset.
        file: if vma.file {
            Some(vma.pgoff as usize)
        } else {
            (vma.pgoff != vma.anon_pgoff).then_some(offset(vma.pgoff))
        },
        flags: vma.flags,
        anon_vma: vma.anon_vma,
        chain: vma.chain.clone(),
    };
    let anon_vma = |node: &host::graph::AnonVma| {
        let members = node.tree.iter().map(|m| m.vma.unwrap_or(usize::MAX));
        let mut tree: Vec<usize> = members.collect();
        tree.sort_unstable();
        AnonVmaState {
            root: known(node.root),
            parent: known(node.parent),
            refcount: node.refcount,
            num_children: node.num_children as usize,
            num_active_vmas: node.num_active_vmas as usize,
            tree,
        }
    };
    let folio = |page: &host::graph::Page| PageState {
        anon_vma: page.anon_vma,
        index: offset(page.index),
        mapcount: page.mapcount,
        exclusive: page.exclusive,
    };
    let entry = |entry: &host::graph::Entry| Entry {
        pid: entry.pid,
        address: page(entry.address),
        page: entry.page,
    };
    State {
        vmas: graph.vmas.iter().map(vma).collect(),
        anon_vmas: graph.anon_vmas.iter().map(anon_vma).collect(),
        pages: graph.pages.iter().map(folio).collect(),
        entries: graph.entries.iter().map(entry).collect(),
    }
}

/// Compares the results of a step in which an allocation failed. Which of two reasons to refuse a
/// step comes first is not compared: it is the order in which the sides look.
pub fn failures(shadow: Result<(), Errno>, host: Result<(), Errno>) -> Option<Difference> {
    match (shadow, host) {
        (Err(_), Err(_)) => None,
        both => results(both.0, both.1),
    }
}

/// Compares the results of a step.
pub fn results(shadow: Result<(), Errno>, host: Result<(), Errno>) -> Option<Difference> {
    let word = |result: Result<(), Errno>| match result {
        Ok(()) => "does the step".to_owned(),
        Err(error) => format!("refuses it with errno {}", error.0),
    };
    (shadow != host).then(|| {
        let words = format!("the host {}, the shadow {}", word(host), word(shadow));
        Difference::new(None, words)
    })
}

/// Returns each difference between two states. Where VMAs or their chains differ, only those: all
/// numbers follow from them.
pub fn states(shadow: &State, host: &State) -> Vec<Difference> {
    if shadow == host {
        return Vec::new();
    }
    let mut found = Found(Vec::new());
    found.layout(shadow, host);
    if found.0.is_empty() {
        found.vmas(shadow, host);
    }
    if found.0.is_empty() {
        found.anon_vmas(shadow, host);
        found.entries(shadow, host);
        found.pages(shadow, host);
    }
    if found.0.is_empty() {
        let words = "the states differ in something that has no name here";
        found.0.push(Difference::new(None, words));
    }
    found.0
}

struct Found(Vec<Difference>);

impl Found {
    /// Notes a difference of `what` of `of`, unless both sides have the same.
    fn field<T: PartialEq + fmt::Debug>(
        &mut self,
        rule: impl Into<Option<u32>>,
        of: &str,
        what: &str,
        (shadow, host): (T, T),
    ) {
        if shadow != host {
            let words = format!("{of}: {what} is {host:?} on the host, {shadow:?} by the rules");
            self.0.push(Difference::new(rule, words));
        }
    }

    /// R32: the ranges of VMAs.
    fn layout(&mut self, shadow: &State, host: &State) {
        let ranges = |state: &State| -> Vec<(usize, usize, usize)> {
            let vmas = state.vmas.iter();
            vmas.map(|vma| (vma.pid, vma.first, vma.last)).collect()
        };
        let (ours, theirs) = (ranges(shadow), ranges(host));
        let unique = |these: &[(usize, usize, usize)], others: &[(usize, usize, usize)]| {
            let text: Vec<_> = these
                .iter()
                .filter(|vma| !others.contains(vma))
                .map(|(pid, first, last)| format!("process {pid} {first}..{}", last + 1))
                .collect();
            if text.is_empty() {
                "none".to_owned()
            } else {
                text.join(", ")
            }
        };
        if ours != theirs {
            let words = format!(
                "VMAs: only the host has {}; only the rules have {}",
                unique(&theirs, &ours),
                unique(&ours, &theirs)
            );
            self.0.push(Difference::new(32, words));
        }
    }

    fn vmas(&mut self, shadow: &State, host: &State) {
        for (ours, theirs) in shadow.vmas.iter().zip(&host.vmas) {
            let of = format!(
                "VMA {}..{} of process {}",
                ours.first,
                ours.last + 1,
                ours.pid
            );
            let both = (ours, theirs);
            self.field(40, &of, "vm_flags", both.map(|v| v.flags));
            self.field(41, &of, "the anonymous page offset", both.map(|v| v.pgoff));
            self.field(41, &of, "the file's page offset", both.map(|v| v.file));
            let prepared = both.map(|v| v.anon_vma.is_some());
            self.field(33, &of, "having an anon_vma", prepared);
            let sorted = both.map(|v| {
                let mut set = v.chain.clone();
                set.sort_unstable();
                set
            });
            if sorted.0 == sorted.1 {
                self.field(22, &of, "the order of the chain", both.map(|v| &v.chain));
            } else {
                self.field(21, &of, "the chain", both.map(|v| &v.chain));
            }
            if prepared.0 == prepared.1 {
                self.field(26, &of, "->anon_vma", both.map(|v| v.anon_vma));
            }
        }
    }

    fn anon_vmas(&mut self, shadow: &State, host: &State) {
        let numbers = (shadow.anon_vmas.len(), host.anon_vmas.len());
        self.field(24, "all processes", "the number of anon_vmas", numbers);
        for (number, both) in shadow.anon_vmas.iter().zip(&host.anon_vmas).enumerate() {
            let of = format!("anon_vma {number}");
            self.field(14, &of, "root", both.map(|a| a.root));
            self.field(23, &of, "parent", both.map(|a| a.parent));
            self.field(16, &of, "refcount", both.map(|a| a.refcount));
            self.field(24, &of, "num_children", both.map(|a| a.num_children));
            self.field(24, &of, "num_active_vmas", both.map(|a| a.num_active_vmas));
            self.field(21, &of, "the VMAs in the tree", both.map(|a| &a.tree));
        }
    }

    fn entries(&mut self, shadow: &State, host: &State) {
        let places = |state: &State| -> Vec<(usize, usize, bool)> {
            let entries = state.entries.iter();
            entries
                .map(|e| (e.pid, e.address, e.page.is_some()))
                .collect()
        };
        let both = (places(shadow), places(host));
        if both.0 != both.1 {
            let only = |these: &[(usize, usize, bool)], others: &[(usize, usize, bool)]| {
                let these = these.iter().filter(|entry| !others.contains(entry));
                these.copied().collect::<Vec<_>>()
            };
            let only = (only(&both.0, &both.1), only(&both.1, &both.0));
            self.field(35, "page tables", "what the other side has not", only);
            return;
        }
        for both in shadow.entries.iter().zip(&host.entries) {
            let of = format!("the entry {} of process {}", both.0.address, both.0.pid);
            self.field(3, &of, "the page that it shares", both.map(|e| e.page));
        }
    }

    fn pages(&mut self, shadow: &State, host: &State) {
        for (number, both) in shadow.pages.iter().zip(&host.pages).enumerate() {
            let of = format!("page {number}");
            self.field(20, &of, "its anon_vma", both.map(|p| p.anon_vma));
            self.field(41, &of, "index", both.map(|p| p.index));
            self.field(3, &of, "mapcount", both.map(|p| p.mapcount));
            self.field(20, &of, "being exclusive", both.map(|p| p.exclusive));
        }
    }
}

/// The same of both sides.
trait Both<'a, S: 'a> {
    fn map<T>(self, f: impl Fn(&'a S) -> T) -> (T, T);
}

impl<'a, S> Both<'a, S> for (&'a S, &'a S) {
    fn map<T>(self, f: impl Fn(&'a S) -> T) -> (T, T) {
        (f(self.0), f(self.1))
    }
}
