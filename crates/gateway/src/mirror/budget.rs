//! A number of bytes that may be held at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A budget; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    most: usize,
}

/// Bytes of a budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Self {
        Self { used: Arc::default(), most }
    }

    /// `None` where fewer bytes are left.
    pub(crate) fn take(&self, bytes: usize) -> Option<Grant> {
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.most)
        });
        taken.ok().map(|_| Grant { budget: self.clone(), bytes })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
