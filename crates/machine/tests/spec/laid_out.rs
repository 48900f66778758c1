//! A machine as files and links in a folder.

use std::{fs, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;

/// A root folder with these files, and these links with their targets.
pub(crate) fn root(files: &[(&str, &str)], links: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        put(root.path(), path, text);
    }
    for (path, target) in links {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }
    root
}

/// Writes one file below the root, and replaces an existing one.
pub(crate) fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
