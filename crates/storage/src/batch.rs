//! Changes that become visible, and durable, together.

use crate::limits::VALUE_BYTES_MAX;

/// A value above [`VALUE_BYTES_MAX`].
#[derive(Debug, thiserror::Error)]
#[error("a value of {bytes} bytes is above the store's limit of {VALUE_BYTES_MAX}")]
pub struct ValueTooLarge {
    /// Length of the refused value.
    pub bytes: usize,
}

/// An ordered list of puts and removes; where a key comes twice, the later change stands.
#[derive(Debug, Default)]
pub struct Batch {
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Sets `key` to `value`.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Result<(), ValueTooLarge> {
        let value = value.into();
        if value.len() > VALUE_BYTES_MAX {
            return Err(ValueTooLarge { bytes: value.len() });
        }
        self.changes.push((key.into(), Some(value)));
        Ok(())
    }

    /// Removes `key`; removing what is not there is no error.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }

    /// Whether the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn add_to(self, target: &mut sled::Batch) {
        for (key, value) in self.changes {
            match value {
                Some(value) => target.insert(key, value),
                None => target.remove(key),
            }
        }
    }
}
