//! An ext4 file system in a file, mounted through a loop device, and always unmounted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::writer::tool;

const BYTES: u64 = 192 << 20;

/// Creates an empty file system in the file `image`.
pub(crate) fn make(image: &Path) {
    fs::File::create(image).unwrap().set_len(BYTES).unwrap();
    let options = ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
    tool("mkfs.ext4", Command::new("mkfs.ext4").args(options).arg(image));
}

/// A mounted image.
pub(crate) struct Mounted {
    at: PathBuf,
}

impl Mounted {
    pub(crate) fn new(image: &Path, at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        // The journal is committed only on a sync, not by time: data that is not synced stays in memory.
        tool("mount", Command::new("mount").args(["-o", "loop,commit=300"]).arg(image).arg(&at));
        Self { at }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.at).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            let _lazily = Command::new("umount").arg("-l").arg(&self.at).status();
        }
    }
}
