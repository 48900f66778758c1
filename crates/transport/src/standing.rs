//! Whether the holder of a certificate may stay connected: asked again at each change of what decides it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::watch;
use tokio_stream::{Stream as _, wrappers::WatchStream};

use crate::certificate::Certificate;

/// Whether the holder of a certificate, which was verified against the authorities, is known: its connection is not closed for
/// others.
pub type IsKnown = Arc<dyn Fn(&Certificate) -> bool + Send + Sync>;

/// Decides who stays connected. Cheap to clone.
#[derive(Clone)]
pub struct Standing {
    /// Ticks whenever the answer for some certificate may be another one.
    changes: watch::Receiver<u64>,
    may_stay: Arc<dyn Fn(&Certificate) -> bool + Send + Sync>,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}

impl Standing {
    /// `may_stay` is asked of every certificate that an open connection began with, at each of the `changes`.
    pub fn new(changes: watch::Receiver<u64>, may_stay: impl Fn(&Certificate) -> bool + Send + Sync + 'static) -> Self {
        Self { changes, may_stay: Arc::new(may_stay) }
    }

    /// Every holder stays, for ever.
    pub fn unconditional() -> Self {
        let (_, changes) = watch::channel(0);
        Self::new(changes, |_| true)
    }

    /// The watch over one connection.
    pub(crate) fn of_connection(&self) -> ConnectionStanding {
        let mut changes = self.changes.clone();
        // What changed before counts in each call, which says why it is refused.
        changes.mark_unchanged();
        ConnectionStanding {
            changes: Box::new(WatchStream::from_changes(changes)),
            may_stay: Arc::clone(&self.may_stay),
        }
    }
}

/// The watch over one connection.
pub(crate) struct ConnectionStanding {
    changes: Box<WatchStream<u64>>,
    may_stay: Arc<dyn Fn(&Certificate) -> bool + Send + Sync>,
}

impl ConnectionStanding {
    /// Ready after a change: whether the holder may still stay.
    pub(crate) fn poll_changed(&mut self, certificate: &Certificate, context: &mut Context<'_>) -> Poll<bool> {
        let mut has_changed = false;
        // Bounded: a watch holds one value, and is empty when that was seen.
        while let Poll::Ready(Some(_)) = Pin::new(&mut self.changes).poll_next(context) {
            if !(self.may_stay)(certificate) {
                return Poll::Ready(false);
            }
            has_changed = true;
        }
        if has_changed { Poll::Ready(true) } else { Poll::Pending }
    }
}
