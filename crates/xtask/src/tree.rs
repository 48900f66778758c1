//! The files of the repository, as a set of relative paths.
//!
//! Read from the file system and not from git, so that a checkout without git (an archive, a test machine) is checked
//! in the same way.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders of generated files, at any depth.
const NOT_OURS: &[&str] = &[".git", "target"];

/// Relative paths with `/` between the parts, sorted. Symbolic links are listed and never followed.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    root: PathBuf,
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self { root: root.to_owned(), ..Self::default() };
        let mut pending = vec![String::new()];
        while let Some(folder) = pending.pop() {
            let path = root.join(&folder);
            for entry in fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let relative = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                if !entry.file_type()?.is_dir() {
                    tree.files.insert(relative);
                } else if !NOT_OURS.contains(&name.as_str()) {
                    tree.folders.insert(relative.clone());
                    pending.push(relative);
                }
            }
        }
        Ok(tree)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// The names in the root folder, files and folders.
    pub(crate) fn top(&self) -> impl Iterator<Item = &str> {
        self.files.iter().chain(&self.folders).map(String::as_str).filter(|path| !path.contains('/'))
    }

    /// The names of the folders directly below `folder`.
    pub(crate) fn folders_in<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.folders
            .iter()
            .filter_map(move |path| path.strip_prefix(folder)?.strip_prefix('/'))
            .filter(|name| !name.contains('/'))
    }

    /// Whether a file or folder exists at `path`.
    pub(crate) fn contains(&self, path: &str) -> bool {
        path.is_empty() || self.files.contains(path) || self.folders.contains(path)
    }

    /// Whether some file's path ends in `tail`, at a boundary between parts.
    pub(crate) fn has_file_ending_in(&self, tail: &str) -> bool {
        self.files().any(|path| path.strip_suffix(tail).is_some_and(|head| head.is_empty() || head.ends_with('/')))
    }

    /// The text of a file; `None` where it does not exist or is not UTF-8.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// A tree that exists only as a list of paths.
    #[cfg(test)]
    pub(crate) fn of(files: &[&str]) -> Self {
        let mut tree = Self::default();
        for file in files {
            tree.files.insert((*file).to_owned());
            for (end, _) in file.match_indices('/') {
                tree.folders.insert(file[..end].to_owned());
            }
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_without_what_tools_made() {
        let tree = Tree::read(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(tree.contains("src/tree.rs") && tree.contains("src"));
        assert!(tree.text("Cargo.toml").unwrap().contains("[package]"));
        assert_eq!(tree.top().find(|name| NOT_OURS.contains(name)), None);
    }

    #[test]
    fn the_tail_of_a_path_is_found_on_a_boundary_only() {
        let tree = Tree::of(&["crates/activation/src/count.rs"]);
        for (tail, found) in [("count.rs", true), ("src/count.rs", true), ("ount.rs", false), ("src/other.rs", false)] {
            assert_eq!(tree.has_file_ending_in(tail), found, "{tail}");
        }
    }

    #[test]
    fn folders_are_listed_one_level_deep() {
        let tree = Tree::of(&["crates/a/src/lib.rs", "crates/b/Cargo.toml", "docs/x.md", "LICENSE"]);
        assert_eq!(tree.folders_in("crates").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(tree.top().collect::<Vec<_>>(), ["LICENSE", "crates", "docs"]);
    }
}
