//! Entries that were purged from the log, in a file beside the store, for tests that look up every acknowledged request.
//! Only in the tests' build (feature `fault-injection`): a production node neither writes nor reads this file.
//!
//! The file holds length-delimited `quorate.log.v1.Entry` messages. An entry is written here before it is removed from the
//! store, so that after a crash it is in one of the two, or in both.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use api::log::v1 as proto;
use bytes::{Buf, Bytes};
use prost::Message;

use crate::raft::{
    types::Entry,
    wire::{self, Malformed},
};

/// The file of purged entries, open for appending.
pub(crate) struct KeptEntries(File);

fn path(folder: &Path) -> PathBuf {
    folder.join("purged-entries")
}

/// What the file in `folder` holds, in the order in which it was written; nothing where there is none.
pub(crate) fn read(folder: &Path) -> io::Result<Vec<Entry>> {
    Ok(read_complete(folder)?.0)
}

/// The entries, and the length of the part of the file that was written completely.
fn read_complete(folder: &Path) -> io::Result<(Vec<Entry>, u64)> {
    let content = match fs::read(path(folder)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Bytes::new(),
        content => Bytes::from(content?),
    };
    let damaged = |what: String| io::Error::new(ErrorKind::InvalidData, what);
    let (mut rest, mut entries) = (content.clone(), Vec::new());
    loop {
        let complete = (content.len() - rest.len()) as u64;
        let mut ahead = rest.clone();
        // A process that was killed while it wrote leaves an incomplete entry, which is still in the store.
        let Ok(length) = prost::decode_length_delimiter(&mut ahead) else { return Ok((entries, complete)) };
        if length > ahead.len() {
            return Ok((entries, complete));
        }
        let entry = proto::Entry::decode(ahead.split_to(length)).map_err(|error| damaged(error.to_string()))?;
        entries.push(wire::entry_in(entry).map_err(|Malformed(what)| damaged(what.into()))?);
        rest.advance(rest.len() - ahead.len());
    }
}

impl KeptEntries {
    /// Opens the file in `folder`; an incomplete entry at its end is cut off.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let (_, complete) = read_complete(folder)?;
        let file = File::options().create(true).append(true).open(path(folder))?;
        file.set_len(complete)?;
        Ok(Self(file))
    }

    pub(crate) fn add<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> io::Result<()> {
        let encoded = entries.flat_map(|entry| wire::entry_out(entry).encode_length_delimited_to_vec());
        (&self.0).write_all(&encoded.collect::<Vec<_>>())
    }
}
