//! The part of a snapshot that has arrived from another node: one file, which the next attempt continues.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Prefix of the names of these files.
const PREFIX: &str = "partial-";

/// Path of the file for the snapshot `name`.
pub(crate) fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{PREFIX}{name}"))
}

/// The length of the file for `name`, in bytes; 0 if there is none. All other partial files are removed.
pub(crate) fn keep(folder: &Path, name: Option<&str>) -> io::Result<u64> {
    let kept = name.map(|name| path(folder, name));
    let mut length = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        match kept.as_ref() {
            Some(kept) if *kept == entry.path() => length = entry.metadata()?.len(),
            _ => fs::remove_file(entry.path())?,
        }
    }
    Ok(length)
}

/// Appends `piece` to the `offset` bytes of the file at `path`, which is created for the first piece.
pub(crate) fn add(path: &Path, offset: u64, piece: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(offset == 0).open(path)?;
    let length = file.metadata()?.len();
    if length != offset {
        return Err(io::Error::other(format!("it holds {length} bytes, and the next part begins at {offset}")));
    }
    file.write_all(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_grows_by_consecutive_parts_and_is_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("snapshot"), "a snapshot").unwrap();
        assert_eq!(keep(folder, Some("1")).unwrap(), 0);
        add(&path(folder, "1"), 0, b"abc").unwrap();
        add(&path(folder, "1"), 3, b"de").unwrap();
        assert_eq!(keep(folder, Some("1")).unwrap(), 5);
        for offset in [0, 4, 6] {
            let refused = add(&path(folder, "1"), offset, b"x").unwrap_err();
            assert!(refused.to_string().contains("holds 5 bytes"), "{refused}");
        }
        assert_eq!(fs::read(path(folder, "1")).unwrap(), b"abcde");
        assert!(add(&path(folder, "2"), 5, b"x").is_err(), "a file does not begin in its middle");

        assert_eq!(keep(folder, Some("2")).unwrap(), 0);
        assert!(!path(folder, "1").exists(), "what is held of another snapshot is removed");
        add(&path(folder, "2"), 0, b"x").unwrap();
        assert_eq!(keep(folder, None).unwrap(), 0);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "the snapshot itself stays");
    }
}
