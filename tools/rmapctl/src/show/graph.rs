// SPDX-License-Identifier: GPL-2.0

//! Parses and validates `chains.json`.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};

/// The version of the format that this program understands.
const VERSION: u64 = 1;

/// The content of `chains.json`.
#[derive(Debug, Deserialize)]
pub struct Graph {
    pub(super) source: String,
    pub(super) mms: Vec<Mm>,
    pub(super) anon_vmas: Vec<AnonVma>,
    #[serde(default)]
    pub(super) pages: Vec<Page>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Mm {
    pub(super) id: u64,
    pub(super) pid: i64,
    pub(super) comm: String,
    pub(super) vmas: Vec<Vma>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Vma {
    pub(super) id: u64,
    pub(super) start: Address,
    pub(super) end: Address,
    pub(super) pgoff: u64,
    pub(super) anon_vma: Option<u64>,
    pub(super) chain: Vec<u64>,
}

/// A number, or a string with its hexadecimal digits.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Address {
    Number(u64),
    Text(String),
}

impl Address {
    pub(super) fn get(&self) -> Option<u64> {
        match self {
            Address::Number(number) => Some(*number),
            Address::Text(text) => {
                let digits = text.strip_prefix("0x").unwrap_or(text);
                u64::from_str_radix(digits, 16).ok()
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct AnonVma {
    pub(super) id: u64,
    pub(super) root: Option<u64>,
    pub(super) parent: Option<u64>,
    pub(super) refcount: i64,
    pub(super) num_children: i64,
    pub(super) num_active_vmas: i64,
    pub(super) vmas: Vec<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) id: u64,
    pub(super) anon_vma: Option<u64>,
    #[serde(rename = "index")]
    _index: u64,
    #[serde(rename = "mapcount")]
    _mapcount: i64,
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

    pub(super) fn vmas(&self) -> impl Iterator<Item = (&Mm, &Vma)> {
        self.mms
            .iter()
            .flat_map(|mm| mm.vmas.iter().map(move |vma| (mm, vma)))
    }

    /// Returns the links that only one side has. A graph of the host may be a part, and has no
    /// notes.
    pub(super) fn notes(&self) -> Vec<String> {
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
