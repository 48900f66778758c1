//! Purged records, in a file beside the snapshot, for tests that look up every acknowledged request. Only in the
//! tests' build (feature `fault-injection`): a production node neither writes nor reads this file.
//!
//! Each record follows its length, a protobuf varint. A record is durable here before it is removed from the store,
//! so after any crash it is in one of the two, or in both.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use bytes::{Buf, Bytes};

use crate::durable::sync_folder;

/// The file of purged records, open for appending.
pub(crate) struct Kept(File);

fn path(folder: &Path) -> PathBuf {
    folder.join("purged-entries")
}

/// The records in the file in `folder`, in the order in which they were written; empty if there is no file.
pub(crate) fn read(folder: &Path) -> io::Result<Vec<Bytes>> {
    Ok(read_complete(folder)?.0)
}

/// The records, and the length of the completely written part of the file, in bytes.
fn read_complete(folder: &Path) -> io::Result<(Vec<Bytes>, u64)> {
    let content = match fs::read(path(folder)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Bytes::new(),
        content => Bytes::from(content?),
    };
    let (mut rest, mut records) = (content.clone(), Vec::new());
    loop {
        let complete = (content.len() - rest.len()) as u64;
        let mut ahead = rest.clone();
        // A process that was killed during a write leaves an incomplete record; that record is still in the store.
        let Ok(length) = prost::decode_length_delimiter(&mut ahead) else { return Ok((records, complete)) };
        if length > ahead.len() {
            return Ok((records, complete));
        }
        records.push(ahead.split_to(length));
        rest.advance(rest.len() - ahead.len());
    }
}

impl Kept {
    /// Opens the file in `folder`, and truncates an incomplete record at its end.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let (_, complete) = read_complete(folder)?;
        let file = File::options().create(true).append(true).open(path(folder))?;
        file.set_len(complete)?;
        sync_folder(folder)?;
        Ok(Self(file))
    }

    pub(crate) fn add(&self, records: &[Bytes]) -> io::Result<()> {
        let mut encoded = Vec::new();
        for record in records {
            prost::encode_length_delimiter(record.len(), &mut encoded).map_err(io::Error::other)?;
            encoded.extend_from_slice(record);
        }
        (&self.0).write_all(&encoded)?;
        self.0.sync_data()
    }
}
