//! Permissions of a data folder: only its owner may read its content.

use std::{
    fs::{self, Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    process::geteuid,
};

/// Largest depth of folders that are checked; a data folder is less deep.
const DEPTH_MAX: usize = 8;

/// Permissions of the group and of all other accounts.
const OF_OTHERS: u32 = 0o077;

/// The files and folders to which other accounts had permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corrected {
    /// Number of files and folders that were changed.
    pub changed: usize,
    /// The first of them; `None` if none was changed.
    pub first: Option<PathBuf>,
}

/// Removes all permissions of the group and of other accounts from `folder` and everything in it. Does nothing if
/// the folder does not exist. If `folder` is a symbolic link, its target is meant; links inside it are not
/// followed.
///
/// Errors: the file or folder whose permissions cannot be read or changed.
pub fn correct(folder: &Path) -> io::Result<Corrected> {
    let mut corrected = Corrected::default();
    let Ok(folder) = fs::canonicalize(folder) else { return Ok(corrected) };
    correct_below(&folder, DEPTH_MAX, &mut corrected)?;
    Ok(corrected)
}

/// A file or folder of another account that this process may not read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its path.
    pub path: PathBuf,
    /// Its owner (uid).
    pub owner: u32,
    /// The effective account of this process (uid).
    pub account: u32,
}

/// The first file or folder, in `folder` or `folder` itself, that belongs to another account and that this process
/// may not read and write: a process that ran as root leaves such files. `None` if there is none, or if the folder
/// cannot be read.
pub fn first_foreign(folder: &Path) -> Option<Foreign> {
    foreign_below(&fs::canonicalize(folder).ok()?, geteuid().as_raw(), DEPTH_MAX)
}

fn foreign_below(path: &Path, account: u32, depth: usize) -> Option<Foreign> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let owner = metadata.uid();
    if owner != account && !metadata.is_symlink() && access(path, Access::READ_OK | Access::WRITE_OK).is_err() {
        return Some(Foreign { path: path.to_owned(), owner, account });
    }
    if !metadata.is_dir() || depth == 0 {
        return None;
    }
    let entries = fs::read_dir(path).ok()?;
    entries.filter_map(Result::ok).find_map(|entry| foreign_below(&entry.path(), account, depth - 1))
}

fn correct_below(path: &Path, depth: usize, corrected: &mut Corrected) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let metadata = match fs::symlink_metadata(path) {
        // The file was removed in the meantime, as temporary files are.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(named)?,
    };
    // The folder first: from then on other accounts cannot reach its content.
    correct_one(path, &metadata, corrected).map_err(named)?;
    if metadata.is_dir() && depth > 0 {
        for entry in fs::read_dir(path).map_err(named)? {
            correct_below(&entry.map_err(named)?.path(), depth - 1, corrected)?;
        }
    }
    Ok(())
}

fn correct_one(path: &Path, metadata: &Metadata, corrected: &mut Corrected) -> io::Result<()> {
    let mode = metadata.permissions().mode();
    if metadata.is_symlink() || mode & OF_OTHERS == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !OF_OTHERS))?;
    corrected.changed += 1;
    corrected.first.get_or_insert_with(|| path.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn permissions_of_other_accounts_are_removed_at_every_depth_and_counted() {
        let outside = tempfile::tempdir().unwrap();
        let (folder, linked) = (outside.path().join("data"), outside.path().join("linked"));
        fs::create_dir_all(folder.join("store/deep")).unwrap();
        let files = ["node.key", "store/db", "store/deep/db"].map(|name| folder.join(name));
        for file in files.iter().chain([&linked]) {
            fs::write(file, "secret").unwrap();
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        for inner in ["", "store", "store/deep"] {
            fs::set_permissions(folder.join(inner), Permissions::from_mode(0o755)).unwrap();
        }
        symlink(&linked, folder.join("link")).unwrap();

        assert_eq!(correct(&folder).unwrap(), Corrected { changed: 6, first: Some(folder.clone()) });
        assert_eq!(files.each_ref().map(|file| mode(file)), [0o600; 3]);
        assert_eq!(["", "store", "store/deep"].map(|inner| mode(&folder.join(inner))), [0o700; 3]);
        assert_eq!(mode(&linked), 0o644, "what a link leads to is left alone");
        assert_eq!(correct(&folder).unwrap(), Corrected::default());
        assert_eq!(correct(&outside.path().join("missing")).unwrap(), Corrected::default());
    }
}
