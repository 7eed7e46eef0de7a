// SPDX-License-Identifier: GPL-2.0

//! Parses and validates `chains.json`.

#[cfg(test)]
pub(crate) mod tests;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};

/// The version of the format that this program understands.
const VERSION: u64 = 1;

/// The content of `chains.json`.
#[derive(Debug, Deserialize)]
pub struct Graph {
    pub(crate) source: String,
    pub(crate) mms: Vec<Mm>,
    pub(crate) anon_vmas: Vec<AnonVma>,
    #[serde(default)]
    pub(crate) pages: Vec<Page>,
}

/// The address space of a process.
#[derive(Debug, Deserialize)]
pub(crate) struct Mm {
    pub(crate) id: u64,
    pub(crate) pid: i64,
    pub(crate) comm: String,
    pub(crate) vmas: Vec<Vma>,
}

/// A VMA, with its chain in the order of the list.
#[derive(Debug, Deserialize)]
pub(crate) struct Vma {
    pub(crate) id: u64,
    pub(crate) start: Address,
    pub(crate) end: Address,
    pub(crate) pgoff: u64,
    pub(crate) anon_vma: Option<u64>,
    pub(crate) chain: Vec<u64>,
}

/// A number, or a string with its hexadecimal digits.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Address {
    Number(u64),
    Text(String),
}

impl Address {
    /// Returns the number; `None` if the text is not one.
    pub(crate) fn get(&self) -> Option<u64> {
        match self {
            Address::Number(number) => Some(*number),
            Address::Text(text) => {
                let digits = text.strip_prefix("0x").unwrap_or(text);
                u64::from_str_radix(digits, 16).ok()
            }
        }
    }
}

/// An anon_vma, with the VMAs in its interval tree.
#[derive(Debug, Deserialize)]
pub(crate) struct AnonVma {
    pub(crate) id: u64,
    pub(crate) root: Option<u64>,
    pub(crate) parent: Option<u64>,
    pub(crate) refcount: i64,
    // A counter of a broken kernel may have wrapped around.
    pub(crate) num_children: i128,
    pub(crate) num_active_vmas: i128,
    /// References of others; files of older modules, and parts of families, do not have it.
    #[serde(default)]
    pub(crate) pins: Option<i64>,
    pub(crate) vmas: Vec<u64>,
}

/// A page, and the anon_vma that its mapping leads to.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) id: u64,
    pub(crate) anon_vma: Option<u64>,
    #[serde(rename = "index")]
    _index: u64,
    #[serde(rename = "mapcount")]
    _mapcount: i64,
}

impl Vma {
    /// Returns the first address, and the first behind the VMA; zeroes if they are not numbers.
    pub(crate) fn range(&self) -> (u64, u64) {
        (self.start.get().unwrap_or(0), self.end.get().unwrap_or(0))
    }
}

impl AnonVma {
    /// Returns its counters in words.
    pub(crate) fn counters(&self) -> String {
        let (children, active) = (self.num_children, self.num_active_vmas);
        let mut text = format!(
            "refcount={} num_children={children} num_active_vmas={active}",
            self.refcount
        );
        if let Some(pins) = self.pins.filter(|&pins| pins != 0) {
            text.push_str(&format!(" pins={pins}"));
        }
        text
    }

    /// Returns whether this is the root of its family.
    pub(crate) fn is_root(&self) -> bool {
        self.root.is_none_or(|root| root == self.id)
    }
}

impl Graph {
    /// Parses and validates the text.
    ///
    /// # Errors
    ///
    /// The version is not 1, an id occurs twice, a VMA refers to an unknown anon_vma, or an
    /// anon_vma is its own ancestor.
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Versioned { version } = serde_json::from_str(text).context("not a chains.json")?;
        if version != VERSION {
            bail!("chains.json has version {version}; this rmapctl reads version {VERSION}");
        }
        let graph: Graph = serde_json::from_str(text).context("not a chains.json of version 1")?;
        graph.validate()?;
        Ok(graph)
    }

    fn validate(&self) -> Result<()> {
        unique("process", self.mms.iter().map(|mm| mm.id))?;
        unique("VMA", self.vmas().map(|(_, vma)| vma.id))?;
        unique("anon_vma", self.anon_vmas.iter().map(|av| av.id))?;
        unique("page", self.pages.iter().map(|page| page.id))?;
        let known: BTreeSet<u64> = self.anon_vmas.iter().map(|av| av.id).collect();
        for (_, vma) in self.vmas() {
            for id in vma.chain.iter().chain(&vma.anon_vma) {
                if !known.contains(id) {
                    bail!(
                        "vma {} refers to anon_vma {id}, which is not listed",
                        vma.id
                    );
                }
            }
            match (vma.start.get(), vma.end.get()) {
                (Some(start), Some(end)) if start < end => {}
                _ => bail!("vma {} has an empty range", vma.id),
            }
        }
        let parents: HashMap<u64, u64> = self
            .anon_vmas
            .iter()
            .filter_map(|av| Some((av.id, av.parent.filter(|parent| *parent != av.id)?)))
            .collect();
        for start in parents.keys() {
            let mut at = *start;
            for _ in 0..=parents.len() {
                match parents.get(&at) {
                    Some(parent) => at = *parent,
                    None => break,
                }
            }
            if parents.contains_key(&at) {
                bail!("anon_vma {start} has no root: its ancestors form a ring");
            }
        }
        Ok(())
    }

    /// Lists the VMAs, each with its address space.
    pub(crate) fn vmas(&self) -> impl Iterator<Item = (&Mm, &Vma)> {
        self.mms
            .iter()
            .flat_map(|mm| mm.vmas.iter().map(move |vma| (mm, vma)))
    }

    /// Returns the links that only one side has. A graph of the host may be a part, and has no
    /// notes of this kind.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.source == "host" {
            return notes;
        }
        let links: BTreeSet<(u64, u64)> = self
            .vmas()
            .flat_map(|(_, vma)| vma.chain.iter().map(|av| (vma.id, *av)))
            .collect();
        let back: BTreeSet<(u64, u64)> = self
            .anon_vmas
            .iter()
            .flat_map(|av| av.vmas.iter().map(|vma| (*vma, av.id)))
            .collect();
        for (vma, av) in links.difference(&back) {
            notes.push(format!(
                "note: vma {vma} links anon_vma {av}, but the tree of anon_vma {av} lacks vma {vma}"
            ));
        }
        for (vma, av) in back.difference(&links) {
            notes.push(format!(
                "note: the tree of anon_vma {av} has vma {vma}, which does not link anon_vma {av}"
            ));
        }
        notes
    }
}

fn unique(what: &str, ids: impl Iterator<Item = u64>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for id in ids {
        if !seen.insert(id) {
            bail!("the {what} id {id} occurs twice");
        }
    }
    Ok(())
}
