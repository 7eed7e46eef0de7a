// SPDX-License-Identifier: GPL-2.0

//! Reads the host's structures into a graph.

use std::collections::BTreeMap;

use crate::ffi::{AnonVma, Folio, Mm, Vma};
use crate::graph::{self, Graph};
use crate::host::{Host, Pid};
use crate::tables::Entry;

impl Host {
    /// Reads everything.
    pub fn graph(&mut self) -> Graph {
        Reader::new(self).read()
    }

    /// Returns what the slab caches have and nothing of the graph is, or the other way round.
    pub fn lost_objects(&self, graph: &Graph) -> Vec<String> {
        let objects = self.objects();
        let known = [
            ("vm_area_struct", graph.vmas.len()),
            ("anon_vma", graph.anon_vmas.len()),
            ("anon_vma_chain", graph.links()),
        ];
        known
            .into_iter()
            .filter(|(cache, number)| objects.get(*cache) != Some(&(*number as u64)))
            .map(|(cache, number)| format!("{cache}: {number} are in use, of {objects:?}"))
            .collect()
    }
}

/// Reads the structures, and gives numbers to them.
struct Reader<'a> {
    host: &'a mut Host,
    graph: Graph,
    vmas: BTreeMap<Vma, usize>,
    anon_vmas: BTreeMap<AnonVma, usize>,
    order: Vec<AnonVma>,
    pages: BTreeMap<Folio, usize>,
    pids: BTreeMap<Mm, Pid>,
}

impl<'a> Reader<'a> {
    fn new(host: &'a mut Host) -> Self {
        let pids = host
            .pids()
            .into_iter()
            .filter_map(|pid| Some((host.mm(pid).ok()?, pid)));
        let pids = pids.collect();
        Self {
            host,
            graph: Graph::default(),
            vmas: BTreeMap::new(),
            anon_vmas: BTreeMap::new(),
            order: Vec::new(),
            pages: BTreeMap::new(),
            pids,
        }
    }

    fn read(mut self) -> Graph {
        for pid in self.host.pids() {
            self.mm(pid);
        }
        // The list grows while it is read: an anon_vma leads to its root and parent.
        let mut next = 0;
        while let Some(&anon_vma) = self.order.get(next) {
            self.anon_vma(anon_vma);
            next += 1;
        }
        for pid in self.host.pids() {
            self.entries(pid);
        }
        self.graph
    }

    fn number(&mut self, anon_vma: AnonVma) -> usize {
        let order = &mut self.order;
        *self.anon_vmas.entry(anon_vma).or_insert_with(|| {
            order.push(anon_vma);
            order.len() - 1
        })
    }

    fn mm(&mut self, pid: Pid) {
        let library = self.host.library;
        let Ok(mm) = self.host.mm(pid) else { return };
        let mut vmas = Vec::new();
        let mut from = 0;
        while let Some(vma) = library.vma_at_or_after(mm, from) {
            let data = library.vma(vma);
            let links = library.chain(vma).map(|link| library.link(link));
            let links: Vec<_> = links.filter_map(|link| link.anon_vma).collect();
            let chain = links
                .into_iter()
                .map(|anon_vma| self.number(anon_vma))
                .collect();
            let anon_vma = data.anon_vma.map(|anon_vma| self.number(anon_vma));
            let number = self.graph.vmas.len();
            self.graph.vmas.push(graph::Vma {
                pid,
                start: data.start,
                end: data.end,
                pgoff: data.pgoff,
                anon_pgoff: data.anon_pgoff,
                flags: data.flags,
                file: data.file,
                anon_vma,
                chain,
            });
            self.vmas.insert(vma, number);
            vmas.push(number);
            if data.end <= from {
                break;
            }
            from = data.end;
        }
        self.graph.mms.push(graph::Mm { pid, vmas });
    }

    fn anon_vma(&mut self, anon_vma: AnonVma) {
        let library = self.host.library;
        let data = library.anon_vma(anon_vma);
        let members: Vec<_> = library.tree(anon_vma).collect();
        let place = |link| members.iter().position(|member| *member == link);
        let tree = members.iter().map(|&member| {
            let link = library.link(member);
            graph::Member {
                vma: link.vma.and_then(|vma| self.vmas.get(&vma).copied()),
                mine: link.anon_vma == Some(anon_vma),
                first: link.first,
                last: link.last,
                subtree_last: link.subtree_last,
                children: [link.left.and_then(place), link.right.and_then(place)],
            }
        });
        let tree = tree.collect();
        let root = data.root.map_or(usize::MAX, |root| self.number(root));
        let parent = data.parent.map_or(usize::MAX, |parent| self.number(parent));
        self.graph.anon_vmas.push(graph::AnonVma {
            root,
            parent,
            refcount: data.refcount,
            num_children: data.num_children,
            num_active_vmas: data.num_active_vmas,
            locked: data.locked,
            tree,
        });
    }

    fn entries(&mut self, pid: Pid) {
        let Ok(mm) = self.host.mm(pid) else { return };
        let entries: Vec<_> = self.host.shared.with(|tables| tables.of(mm).collect());
        for (address, entry) in entries {
            let page = match entry {
                Entry::Page(folio) => Some(self.page(folio)),
                Entry::Swap(_) => None,
            };
            self.graph.entries.push(graph::Entry { pid, address, page });
        }
    }

    fn page(&mut self, folio: Folio) -> usize {
        if let Some(&number) = self.pages.get(&folio) {
            return number;
        }
        let library = self.host.library;
        let data = library.folio(folio);
        let leads_to = self
            .order
            .iter()
            .position(|a| a.address() == data.mapping & !3);
        let walk = match leads_to {
            Some(_) => library.walk(folio),
            // A walk through freed memory would end the program.
            None => Vec::new(),
        };
        let mut walk: Vec<_> = walk
            .into_iter()
            .filter_map(|(mm, address)| Some((*self.pids.get(&mm)?, address)))
            .collect();
        walk.sort_unstable();
        let number = self.graph.pages.len();
        self.graph.pages.push(graph::Page {
            tag: data.mapping & 3,
            anon_vma: leads_to,
            index: data.index,
            mapcount: data.mapcount.into(),
            exclusive: data.exclusive,
            walk,
        });
        self.pages.insert(folio, number);
        number
    }
}
