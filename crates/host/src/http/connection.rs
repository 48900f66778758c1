//! One connection to port 9688, and the deadline at which it is closed.

use std::{net::SocketAddr, sync::Arc};

use tokio::{sync::watch, time::Instant};

use crate::limits::CONSOLE_STALL_TIMEOUT;

/// One connection to port 9688, as its handlers see it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    peer: SocketAddr,
    ends: Arc<watch::Sender<Instant>>,
}

impl Connection {
    pub(super) fn new(peer: SocketAddr, ends: watch::Sender<Instant>) -> Self {
        Self { peer, ends: Arc::new(ends) }
    }

    /// The address of the other side.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Extends the connection's deadline: the client has read what was sent so far of an answer without an end.
    pub(crate) fn is_read(&self) {
        self.ends.send_replace(Instant::now() + CONSOLE_STALL_TIMEOUT);
    }
}
