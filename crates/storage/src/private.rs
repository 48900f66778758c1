//! A folder whose content its owner alone may read.

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

/// Folders below the first that are looked at: a data folder has fewer.
const DEPTH_MAX: usize = 8;

/// Rights of the group and of all other accounts.
const OF_OTHERS: u32 = 0o077;

/// What other accounts had rights to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corrected {
    /// How many files and folders.
    pub changed: usize,
    /// The first of them.
    pub first: Option<PathBuf>,
}

/// Takes the rights to `folder` and to all that it holds from every account but its owner. A folder that is not there is left
/// so; where `folder` is a link, what it points at is meant, and links below it are not followed.
///
/// Error: the file or folder whose rights cannot be read or changed.
pub fn correct(folder: &Path) -> io::Result<Corrected> {
    let mut corrected = Corrected::default();
    let Ok(folder) = fs::canonicalize(folder) else { return Ok(corrected) };
    correct_below(&folder, DEPTH_MAX, &mut corrected)?;
    Ok(corrected)
}

/// A file or folder of another account that this one may not read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Where it is.
    pub path: PathBuf,
    /// Its owner (uid).
    pub owner: u32,
    /// The account of this process (uid).
    pub account: u32,
}

/// The first file or folder, of `folder` and what it holds, that belongs to another account and may not be used by this one: a
/// process that ran as root leaves such files. None where all is well, and where it cannot be looked at.
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
        // Gone meanwhile, as temporary files are.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(named)?,
    };
    // The folder first: what is in it is out of reach from then on.
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
    fn rights_of_other_accounts_are_taken_at_every_depth_and_counted() {
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
