//! Whether the holder of a certificate may stay connected; decided again at each change of the criteria.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::watch;
use tokio_stream::{Stream as _, wrappers::WatchStream};

use crate::certificate::Certificate;

/// Whether the holder of a certificate is known. The certificate was verified against the authorities. The
/// connections of a known holder are not closed for new ones.
pub type IsKnown = Arc<dyn Fn(&Certificate) -> bool + Send + Sync>;

/// Decides which connections stay open. Cheap to clone.
#[derive(Clone)]
pub struct Standing {
    /// Changes whenever the decision for a certificate may have changed.
    changes: watch::Receiver<u64>,
    may_stay: Arc<dyn Fn(&Certificate) -> bool + Send + Sync>,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}

impl Standing {
    /// `may_stay` is called for the certificate of every open connection, at each of the `changes`.
    pub fn new(changes: watch::Receiver<u64>, may_stay: impl Fn(&Certificate) -> bool + Send + Sync + 'static) -> Self {
        Self { changes, may_stay: Arc::new(may_stay) }
    }

    /// A standing that keeps every connection, for ever.
    pub fn unconditional() -> Self {
        let (_, changes) = watch::channel(0);
        Self::new(changes, |_| true)
    }

    /// The observation of one connection.
    pub(crate) fn of_connection(&self) -> ConnectionStanding {
        let mut changes = self.changes.clone();
        // Earlier changes need no observation: each call checks them, and names the reason when it is refused.
        changes.mark_unchanged();
        ConnectionStanding {
            changes: Box::new(WatchStream::from_changes(changes)),
            may_stay: Arc::clone(&self.may_stay),
        }
    }
}

/// The observation of one connection.
pub(crate) struct ConnectionStanding {
    changes: Box<WatchStream<u64>>,
    may_stay: Arc<dyn Fn(&Certificate) -> bool + Send + Sync>,
}

impl ConnectionStanding {
    /// Ready after a change: whether the holder may stay connected.
    pub(crate) fn poll_changed(&mut self, certificate: &Certificate, context: &mut Context<'_>) -> Poll<bool> {
        let mut has_changed = false;
        // The loop ends: a watch holds one value, and is not ready after that was read.
        while let Poll::Ready(Some(_)) = Pin::new(&mut self.changes).poll_next(context) {
            if !(self.may_stay)(certificate) {
                return Poll::Ready(false);
            }
            has_changed = true;
        }
        if has_changed { Poll::Ready(true) } else { Poll::Pending }
    }
}
