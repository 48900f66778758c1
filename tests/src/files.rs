//! The files of a folder: their hashes, to check that nothing changed, and copies, to try changes on.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// Every file below `folder`, with the SHA-256 of its content; folders have no hash. Sockets are left out, because
/// they have no content.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<[u8; 32]>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        let items = fs::read_dir(&next).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for item in items.unwrap_or_else(|error| panic!("cannot list {}: {error}", next.display())) {
            let path = item.path();
            let kind = item.file_type().expect("what is listed has a type");
            if kind.is_dir() {
                pending.push(path.clone());
                found.insert(path, None);
            } else if kind.is_file() {
                let content = fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
                found.insert(path, Some(Sha256::digest(content).into()));
            }
        }
    }
    found
}

/// Copies all files of `from` with their permissions to `to`, which must not exist.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for item in fs::read_dir(from)? {
        let item = item?;
        let to = to.join(item.file_name());
        if item.file_type()?.is_dir() {
            copy_folder(&item.path(), &to)?;
        } else if item.file_type()?.is_file() {
            fs::copy(item.path(), to)?;
        }
    }
    Ok(())
}
