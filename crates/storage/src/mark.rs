//! The number of acknowledged writes, in a file of its own (the mark): a database whose end is missing is detected
//! by it.
//!
//! The mark is written after the barrier of the writes, and is not synced itself. A crash of the operating system
//! may therefore restore an older mark, but never a newer one. The mark is never above the number of writes in the
//! database, so an undamaged store is never refused.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::durable;

/// The number and its complement, within one sector of the disk, which is written atomically.
const BYTES: usize = 16;

pub(crate) struct Mark {
    file: File,
}

pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("acknowledged")
}

impl Mark {
    /// Creates the mark of a new store, durably.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        durable::replace_file(&path(folder), &to_bytes(0))?;
        Self::open(folder)
    }

    /// Opens the mark of an existing store for writing.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().write(true).open(path(folder))? })
    }

    /// Records that `writes` writes are durable.
    pub(crate) fn raise(&self, writes: u64) -> io::Result<()> {
        self.file.write_all_at(&to_bytes(writes), 0)
    }
}

/// The number of writes in the mark of `folder`; `None` if the number and its complement do not match.
pub(crate) fn read(folder: &Path) -> io::Result<Option<u64>> {
    let bytes = fs::read(path(folder))?;
    Ok(<[u8; BYTES]>::try_from(bytes).ok().and_then(from_bytes))
}

fn to_bytes(writes: u64) -> [u8; BYTES] {
    (u128::from(writes) << 64 | u128::from(!writes)).to_be_bytes()
}

fn from_bytes(bytes: [u8; BYTES]) -> Option<u64> {
    let writes = u64::try_from(u128::from_be_bytes(bytes) >> 64).ok()?;
    (to_bytes(writes) == bytes).then_some(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_with_any_bit_flipped_is_none() {
        let bytes = to_bytes(1_000_000);
        assert_eq!(from_bytes(bytes), Some(1_000_000));
        for bit in 0..BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(from_bytes(flipped), None, "bit {bit}");
        }
    }
}
