//! Cycles between the modules of a crate. Two files that depend on each other cannot be understood, or moved, one by
//! one.
//!
//! A file with its inline modules is one node. It has an arrow to each file that defines an item which it names: in
//! an import, a path, a macro's arguments or an attribute. Re-exports are followed to the definition. Method calls on
//! a value are not seen, because that would need types.

mod cycles;
mod resolve;
mod source;
mod tokens;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::cargo::Workspace;
use crate::finding::Finding;
use crate::tree::Tree;

/// The findings of the check for all crates.
pub(crate) struct Modules {
    pub(crate) findings: Vec<Finding>,
    pub(crate) cycles: usize,
}

/// Checks every target of every crate: library, programs, tests, benches, examples, build scripts.
pub(crate) fn check(workspace: &Workspace, tree: &Tree) -> Modules {
    let mut all = Modules { findings: Vec::new(), cycles: 0 };
    for package in &workspace.members {
        let manifest = workspace.relative(&package.manifest_path);
        let folder = manifest.parent().unwrap_or(manifest).display().to_string();
        let roots: Vec<_> = package.targets.iter().map(|target| workspace.relative(&target.src_path)).collect();
        let roots: BTreeSet<_> = roots.into_iter().map(|path| path.display().to_string()).collect();
        let found = check_crate(&folder, &roots, &|path| tree.text(path));
        all.findings.extend(found.findings);
        all.cycles += found.cycles;
    }
    all
}

fn check_crate(folder: &str, roots: &BTreeSet<String>, read: source::ReadFile<'_>) -> Modules {
    // Several targets may share modules: each cycle, and each problem, is reported once.
    let (mut cycles, mut problems) = (BTreeSet::new(), BTreeSet::new());
    for root in roots {
        let read = source::Crate::read(root, read);
        cycles.extend(cycles::Arrows::of(&read).cycles());
        problems.extend(read.problems);
    }
    let broken = problems.into_iter().map(|(file, problem)| Finding::new(file, problem, "let the file compile"));
    let cyclic = cycles.iter().map(|cycle| {
        Finding::new(
            folder,
            cycle.described(folder),
            "move what both need into a module below both, or hand it in as an argument",
        )
    });
    Modules { findings: broken.chain(cyclic).collect(), cycles: cycles.len() }
}
