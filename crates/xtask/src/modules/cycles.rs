//! The arrows between the files of a crate, and the cycles that the arrows form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use super::resolve::{Target, resolve};
use super::source::{Crate, Mention, ModuleId};

/// Arrows from file to file, with the items that are used and the line of each item's first use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrows(BTreeMap<(String, String), BTreeMap<String, usize>>);

impl Arrows {
    /// The rule: a file has an arrow to the file that defines an item which it names.
    ///
    /// `mod x;` is no arrow, nor is a re-export of what a module below defines: the importing file points at the
    /// module below.
    pub(crate) fn of(read: &Crate) -> Self {
        let mut arrows = Self::default();
        for (from, module) in read.modules.iter().enumerate() {
            for mention in &module.mentions {
                for target in resolve(read, from, &mention.path) {
                    arrows.add(read, from, mention, target);
                }
            }
        }
        arrows
    }

    fn add(&mut self, read: &Crate, from: ModuleId, mention: &Mention, target: Target) {
        let Target::Item(to, name) = target else { return };
        let (Some(source), Some(defining)) = (read.modules.get(from), read.modules.get(to)) else { return };
        if source.file == defining.file || (mention.re_export && is_below(read, to, from)) {
            return;
        }
        let items = self.0.entry((source.file.clone(), defining.file.clone())).or_default();
        let line = items.entry(name).or_insert(mention.line);
        *line = mention.line.min(*line);
    }

    /// The groups of files in which each file reaches every other, with all arrows among them.
    pub(crate) fn cycles(&self) -> Vec<Cycle> {
        let graph: DiGraphMap<&str, ()> = self.0.keys().map(|(from, to)| (from.as_str(), to.as_str(), ())).collect();
        let groups = tarjan_scc(&graph).into_iter().filter(|group| group.len() > 1);
        let mut cycles: Vec<_> = groups.map(|group| self.cycle(group.into_iter().collect())).collect();
        cycles.sort();
        cycles
    }

    fn cycle(&self, files: BTreeSet<&str>) -> Cycle {
        let among =
            self.0.iter().filter(|((from, to), _)| files.contains(from.as_str()) && files.contains(to.as_str()));
        let arrows = among.map(|((from, to), items)| {
            let items: Vec<_> = items.iter().map(|(name, line)| format!("{name} (line {line})")).collect();
            (from.clone(), to.clone(), items)
        });
        Cycle { arrows: arrows.collect(), files: files.into_iter().map(str::to_owned).collect() }
    }
}

/// A group of files that depend on each other.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cycle {
    pub(crate) files: BTreeSet<String>,
    /// From, to, and which items are used in which lines.
    arrows: Vec<(String, String, Vec<String>)>,
}

impl Cycle {
    /// The text of a finding. `folder`, the crate's, is removed from the paths.
    pub(crate) fn described(&self, folder: &str) -> String {
        let short =
            |path: &str| path.strip_prefix(folder).and_then(|path| path.strip_prefix('/')).unwrap_or(path).to_owned();
        let files: Vec<_> = self.files.iter().map(|file| short(file)).collect();
        let mut text = format!("{} files form a module cycle: {}", files.len(), files.join(", "));
        for (from, to, items) in &self.arrows {
            let _ = write!(text, "\n      {} -> {}: {}", short(from), short(to), items.join(", "));
        }
        text
    }
}

fn is_below(read: &Crate, module: ModuleId, above: ModuleId) -> bool {
    let mut at = Some(module);
    while let Some(module) = at {
        if module == above {
            return true;
        }
        at = read.modules.get(module).and_then(|module| module.parent);
    }
    false
}
