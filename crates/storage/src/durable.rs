//! Files that survive an operating-system crash: whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Writes `bytes` to `path` so that after any crash the file is either the old one or the new one, whole.
///
/// Temporary file beside it, `fsync`, rename, `fsync` of the folder.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, &[bytes], 0o666)
}

/// The same for bytes in pieces that follow each other.
pub fn replace_file_with_pieces(path: &Path, pieces: &[impl AsRef<[u8]>]) -> io::Result<()> {
    replace(path, pieces, 0o666)
}

/// The same for what its owner alone may read, from the first byte on.
pub fn replace_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, &[bytes], 0o600)
}

fn replace(path: &Path, pieces: &[impl AsRef<[u8]>], mode: u32) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a path without a folder"))?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    // Left by a crash: its rights may be others.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    pieces.iter().try_for_each(|piece| file.write_all(piece.as_ref()))?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(folder)
}

/// Makes the names in `folder` durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // An empty parent is the current folder: `Path::new("data").parent()`.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Creates `folder` with its parents and makes the names of all that it created durable, and that of `folder`.
///
/// A folder's name is durable before anything is created in it. So where a crash cuts this short, the next call makes
/// durable what is missing.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    let parent = folder.parent();
    if let Some(missing) = parent.filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        create_folder(missing)?;
    }
    fs::create_dir_all(folder)?;
    sync_folder(folder)?;
    parent.map_or(Ok(()), sync_folder)
}
