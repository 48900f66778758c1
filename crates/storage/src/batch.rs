//! Batches: changes that become visible and durable together.

use std::collections::BTreeMap;

use crate::{error::WriteFailed, limits::VALUE_BYTES_MAX};

/// Called when a batch is durable, or has failed permanently.
pub type Done = Box<dyn FnOnce(Result<(), WriteFailed>) + Send>;

/// A record of the store: key and value.
pub type Record = (Vec<u8>, Vec<u8>);

/// The net changes of one or more batches: each key once, with its new value, or `None` if it is removed.
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A value is longer than [`VALUE_BYTES_MAX`].
#[derive(Debug, thiserror::Error)]
#[error("a value of {bytes} bytes is above the store's limit of {VALUE_BYTES_MAX}")]
pub struct ValueTooLarge {
    /// Length of the refused value, in bytes.
    pub bytes: usize,
}

/// An ordered list of puts and removes; if a key occurs twice, the later change applies.
#[derive(Debug, Default)]
pub struct Batch {
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Sets `key` to `value`. Keys that begin with a zero byte are reserved for the store.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Result<(), ValueTooLarge> {
        let value = value.into();
        if value.len() > VALUE_BYTES_MAX {
            return Err(ValueTooLarge { bytes: value.len() });
        }
        let key = key.into();
        debug_assert!(key.first().is_some_and(|&first| first > 0), "the key is reserved for the store itself");
        self.changes.push((key, Some(value)));
        Ok(())
    }

    /// Removes `key`; removing a key that does not exist is no error.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }

    /// Whether the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes in their order: a key with its new value, or with `None` if it is removed.
    pub fn into_changes(self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.changes
    }

    pub(crate) fn add_to(self, changes: &mut Changes) {
        changes.extend(self.changes);
    }
}
