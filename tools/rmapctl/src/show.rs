// SPDX-License-Identifier: GPL-2.0

//! Reads `chains.json` and prints it for people.
//!
//! First the anon_vmas as the trees they are, each with the VMAs that are linked to it; then the
//! processes with their VMAs, each with its chain in the order of the list (newest first is what R22
//! asks for).

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

/// The version of the format that this program reads.
const VERSION: u64 = 1;
const PAGE_SHIFT: u32 = 12;
/// The longest list of names and of VMAs that is printed where not everything is asked for.
const MOST_NAMES: usize = 8;
const MOST_VMAS: usize = 24;

/// All of `chains.json`.
#[derive(Debug, Deserialize)]
pub struct Graph {
    source: String,
    mms: Vec<Mm>,
    anon_vmas: Vec<AnonVma>,
    #[serde(default)]
    pages: Vec<Page>,
}

#[derive(Debug, Deserialize)]
struct Mm {
    id: u64,
    pid: i64,
    comm: String,
    vmas: Vec<Vma>,
}

#[derive(Debug, Deserialize)]
struct Vma {
    id: u64,
    start: Address,
    end: Address,
    pgoff: u64,
    anon_vma: Option<u64>,
    chain: Vec<u64>,
}

/// A number, or the same in hexadecimal as a string.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Address {
    Number(u64),
    Text(String),
}

impl Address {
    fn get(&self) -> Option<u64> {
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
struct AnonVma {
    id: u64,
    root: Option<u64>,
    parent: Option<u64>,
    refcount: i64,
    num_children: i64,
    num_active_vmas: i64,
    vmas: Vec<u64>,
}

#[derive(Debug, Deserialize)]
struct Page {
    id: u64,
    anon_vma: Option<u64>,
    #[serde(rename = "index")]
    _index: u64,
    #[serde(rename = "mapcount")]
    _mapcount: i64,
}

impl Graph {
    /// Reads and validates.
    ///
    /// # Errors
    ///
    /// The text is not of version 1, an id occurs twice, a VMA names an anon_vma that is not there,
    /// or an anon_vma is its own ancestor.
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Versioned { version } = serde_json::from_str(text).context("not a chains.json")?;
        if version != VERSION {
            bail!("chains.json is of version {version}; this program reads version {VERSION}");
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
                    bail!("v{} names av{id}, which is not there", vma.id);
                }
            }
            match (vma.start.get(), vma.end.get()) {
                (Some(start), Some(end)) if start < end => {}
                _ => bail!("v{} has no range", vma.id),
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
                bail!("av{start} has no root: its ancestors form a ring");
            }
        }
        Ok(())
    }

    fn vmas(&self) -> impl Iterator<Item = (&Mm, &Vma)> {
        self.mms
            .iter()
            .flat_map(|mm| mm.vmas.iter().map(move |vma| (mm, vma)))
    }

    /// What does not fit together; of the host only a part may have been asked for.
    fn notes(&self) -> Vec<String> {
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
                "note: v{vma} has av{av} in its chain, av{av} not it"
            ));
        }
        for (vma, av) in back.difference(&links) {
            notes.push(format!(
                "note: av{av} lists v{vma}, which has no link to it"
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

/// Draws `graph`; with `full`, no list is cut short.
pub fn render(graph: &Graph, full: bool) -> String {
    let mut out = String::new();
    for (left, right) in aligned(&anon_vma_lines(graph, full)) {
        let _ = writeln!(out, "{left}  {right}");
    }
    if graph.anon_vmas.is_empty() {
        out.push_str("no anon_vmas\n");
    }
    for (left, right) in aligned(&process_lines(graph, full)) {
        let _ = writeln!(out, "{}", format!("{left}  {right}").trim_end());
    }
    for note in graph.notes() {
        let _ = writeln!(out, "{note}");
    }
    out
}

/// Pads the left halves to one width.
fn aligned(lines: &[(String, String)]) -> Vec<(String, &str)> {
    let width = lines.iter().map(|(left, _)| left.chars().count()).max();
    let width = width.unwrap_or(0);
    lines
        .iter()
        .map(|(left, right)| (format!("{left:width$}"), right.as_str()))
        .collect()
}

fn anon_vma_lines(graph: &Graph, full: bool) -> Vec<(String, String)> {
    let known: BTreeMap<u64, &AnonVma> = graph.anon_vmas.iter().map(|av| (av.id, av)).collect();
    let mut children: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut tops = Vec::new();
    for av in known.values() {
        match av.parent {
            Some(parent) if parent != av.id && known.contains_key(&parent) => {
                children.entry(parent).or_default().push(av.id);
            }
            _ => tops.push(av.id),
        }
    }
    let names = vma_names(graph);
    let mut pages: HashMap<u64, u64> = HashMap::new();
    for av in graph.pages.iter().filter_map(|page| page.anon_vma) {
        *pages.entry(av).or_default() += 1;
    }

    let mut lines = Vec::new();
    // Each entry: id, what stands before it, what stands before its children.
    let mut stack: Vec<(u64, String, String)> = tops
        .into_iter()
        .rev()
        .map(|id| (id, String::new(), String::new()))
        .collect();
    while let Some((id, before, below)) = stack.pop() {
        let Some(av) = known.get(&id) else { continue };
        let mut left = format!("{before}av{id}");
        let is_root = av.root.is_none_or(|root| root == id);
        if is_root {
            left.push_str(" (root)");
        }
        if let Some(parent) = av.parent.filter(|parent| !known.contains_key(parent)) {
            let _ = write!(left, " (parent av{parent} not shown)");
        }
        let _ = write!(
            left,
            " refs={} children={} active={}",
            av.refcount, av.num_children, av.num_active_vmas
        );
        if let Some(count) = pages.get(&id) {
            let _ = write!(left, " pages={count}");
        }
        let vmas: Vec<String> = av
            .vmas
            .iter()
            .map(|vma| {
                names
                    .get(vma)
                    .cloned()
                    .unwrap_or_else(|| format!("?/v{vma}"))
            })
            .collect();
        lines.push((left, format!("vmas: {}", list(&vmas, full))));
        let below_it = children.get(&id).map_or(&[][..], Vec::as_slice);
        for (position, child) in below_it.iter().enumerate().rev() {
            let (tee, bar) = match position + 1 == below_it.len() {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            stack.push((*child, format!("{below}{tee}"), format!("{below}{bar}")));
        }
    }
    lines
}

/// `comm/vID`, with the pid where two processes have the same comm.
fn vma_names(graph: &Graph) -> HashMap<u64, String> {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for mm in &graph.mms {
        *times.entry(&mm.comm).or_default() += 1;
    }
    graph
        .vmas()
        .map(|(mm, vma)| {
            let name = match times.get(mm.comm.as_str()) {
                Some(1) => format!("{}/v{}", mm.comm, vma.id),
                _ => format!("{}({})/v{}", mm.comm, mm.pid, vma.id),
            };
            (vma.id, name)
        })
        .collect()
}

fn process_lines(graph: &Graph, full: bool) -> Vec<(String, String)> {
    let width = |f: &dyn Fn(&Mm) -> usize| graph.mms.iter().map(f).max().unwrap_or(0);
    let comm_width = width(&|mm| mm.comm.chars().count());
    let pid_width = width(&|mm| mm.pid.to_string().len());
    let mut lines = Vec::new();
    for mm in &graph.mms {
        let head = format!("{:comm_width$}  pid {:pid_width$}", mm.comm, mm.pid);
        let shown = match full {
            true => mm.vmas.len(),
            false => mm.vmas.len().min(MOST_VMAS),
        };
        for (position, vma) in mm.vmas.iter().take(shown).enumerate() {
            let head = match position {
                0 => head.clone(),
                _ => " ".repeat(head.chars().count()),
            };
            let pages = match (vma.start.get(), vma.end.get()) {
                (Some(start), Some(end)) => end.saturating_sub(start) >> PAGE_SHIFT,
                _ => 0,
            };
            let left = format!("{head}  v{} [{}..{})", vma.id, vma.pgoff, vma.pgoff + pages);
            let right = match vma.anon_vma {
                Some(id) => {
                    let chain: Vec<String> = vma.chain.iter().map(|id| format!("av{id}")).collect();
                    format!("-> av{id}  chain: {}", list(&chain, full))
                }
                None => "-> no anon_vma".to_owned(),
            };
            lines.push((left, right));
        }
        if mm.vmas.is_empty() {
            lines.push((format!("{head}  no VMAs"), String::new()));
        }
        if shown < mm.vmas.len() {
            let more = format!("... and {} VMAs more", mm.vmas.len() - shown);
            lines.push((
                format!("{}  {more}", " ".repeat(head.chars().count())),
                String::new(),
            ));
        }
    }
    lines
}

fn list(names: &[String], full: bool) -> String {
    match names.len() {
        0 => "none".to_owned(),
        n if full || n <= MOST_NAMES => names.join(" "),
        n => format!("{} ... +{}", names[..MOST_NAMES].join(" "), n - MOST_NAMES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORKS: &str = r#"{"version":1,"source":"shadow","mms":[
        {"id":1,"pid":41,"comm":"main","vmas":[
            {"id":1,"start":4096,"end":36864,"pgoff":0,"anon_vma":1,"chain":[1]}]},
        {"id":2,"pid":42,"comm":"child","vmas":[
            {"id":2,"start":"0x1000","end":"0x9000","pgoff":0,"anon_vma":2,"chain":[2,1]}]},
        {"id":3,"pid":107,"comm":"grand","vmas":[
            {"id":3,"start":4096,"end":12288,"pgoff":0,"anon_vma":3,"chain":[3,2,1]},
            {"id":4,"start":12288,"end":36864,"pgoff":2,"anon_vma":null,"chain":[]}]}],
        "anon_vmas":[
        {"id":1,"root":1,"parent":1,"refcount":3,"num_children":2,"num_active_vmas":1,"vmas":[1,2,3]},
        {"id":2,"root":1,"parent":1,"refcount":1,"num_children":1,"num_active_vmas":1,"vmas":[2,3]},
        {"id":3,"root":1,"parent":2,"refcount":1,"num_children":0,"num_active_vmas":1,"vmas":[3]},
        {"id":4,"root":1,"parent":1,"refcount":1,"num_children":0,"num_active_vmas":0,"vmas":[]}],
        "pages":[{"id":1,"anon_vma":1,"index":0,"mapcount":2},
                 {"id":2,"anon_vma":1,"index":1,"mapcount":0}]}"#;

    #[test]
    fn three_generations() {
        let graph = Graph::parse(FORKS).expect("valid");
        let expected = "\
av1 (root) refs=3 children=2 active=1 pages=2  vmas: main/v1 child/v2 grand/v3
├─ av2 refs=1 children=1 active=1              vmas: child/v2 grand/v3
│  └─ av3 refs=1 children=0 active=1           vmas: grand/v3
└─ av4 refs=1 children=0 active=0              vmas: none
main   pid  41  v1 [0..8)  -> av1  chain: av1
child  pid  42  v2 [0..8)  -> av2  chain: av2 av1
grand  pid 107  v3 [0..2)  -> av3  chain: av3 av2 av1
                v4 [2..8)  -> no anon_vma
";
        assert_eq!(render(&graph, false), expected);
    }

    #[test]
    fn long_lists_are_cut_unless_all_is_asked_for() {
        let names: Vec<String> = (0..10).map(|i| format!("a{i}")).collect();
        assert_eq!(list(&names, false), "a0 a1 a2 a3 a4 a5 a6 a7 ... +2");
        assert!(list(&names, true).ends_with("a9"));
    }

    fn refused(from: &str, to: &str) -> String {
        let text = FORKS.replacen(from, to, 1);
        assert_ne!(text, FORKS);
        format!("{:#}", Graph::parse(&text).expect_err("must be refused"))
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(
            refused(r#""version":1"#, r#""version":2"#),
            "chains.json is of version 2; this program reads version 1"
        );
        assert_eq!(
            refused("[3,2,1]", "[3,2,9]"),
            "v3 names av9, which is not there"
        );
        assert_eq!(
            refused(r#""id":2,"pid""#, r#""id":1,"pid""#),
            "the process id 1 occurs twice"
        );
        assert_eq!(
            refused(
                r#""id":2,"root":1,"parent":1"#,
                r#""id":2,"root":1,"parent":3"#
            )
            .split_once(' ')
            .map(|(_, rest)| rest.to_owned()),
            Some("has no root: its ancestors form a ring".to_owned())
        );
        assert!(Graph::parse("{}").is_err());
    }

    #[test]
    fn what_does_not_fit_is_noted() {
        let text = FORKS.replacen(r#""vmas":[2,3]}"#, r#""vmas":[2]}"#, 1);
        let drawn = render(&Graph::parse(&text).expect("valid"), false);
        assert!(
            drawn.ends_with("note: v3 has av2 in its chain, av2 not it\n"),
            "{drawn}"
        );
    }

    #[test]
    fn an_empty_graph_is_a_graph() {
        let text = r#"{"version":1,"source":"shadow","mms":[],"anon_vmas":[],"pages":[]}"#;
        assert_eq!(
            render(&Graph::parse(text).expect("valid"), false),
            "no anon_vmas\n"
        );
    }
}
