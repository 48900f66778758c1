//! Atomic and durable replacement of files: they survive a crash of the operating system.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Writes `bytes` to `path` so that after any crash the file is completely the old one or completely the new one.
///
/// Steps: temporary file beside it, `fsync`, rename, `fsync` of the folder.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, &[bytes], 0o666)
}

/// Like [`replace_file`], for content in several consecutive pieces.
pub fn replace_file_with_pieces(path: &Path, pieces: &[impl AsRef<[u8]>]) -> io::Result<()> {
    replace(path, pieces, 0o666)
}

/// Like [`replace_file`], for a file that only its owner may read, from the first byte on (mode 0600).
pub fn replace_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, &[bytes], 0o600)
}

fn replace(path: &Path, pieces: &[impl AsRef<[u8]>], mode: u32) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("the path has no parent folder"))?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    // A file left by a crash may have other permissions.
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

/// Makes the file names in `folder` durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // An empty parent means the current folder, as in `Path::new("data").parent()`.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Creates `folder` with its parents. Makes the names of all folders that it created durable, and that of `folder`.
///
/// A folder's name is durable before anything is created in it. After a crash during this call, the next call makes
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
