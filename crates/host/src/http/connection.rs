//! One connection to port 9688, and its deadline.

use std::{net::SocketAddr, sync::Arc};

use tokio::{sync::watch, time::Instant};
use transport::{Activity, Call};

use crate::limits::CONSOLE_STALL_TIMEOUT;

/// One connection to port 9688, as its handlers see it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    peer: SocketAddr,
    ends: Arc<watch::Sender<Instant>>,
    activity: Activity,
}

impl Connection {
    pub(super) fn new(peer: SocketAddr, ends: watch::Sender<Instant>, activity: Activity) -> Self {
        Self { peer, ends: Arc::new(ends), activity }
    }

    /// Protects the connection from being closed in favour of another one while an answer is made, until the
    /// returned value is dropped.
    pub(crate) fn call(&self) -> Call {
        self.activity.call()
    }

    /// The client's address and port.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Extends the connection's deadline: the client has read all that was sent so far of an answer without an end.
    pub(crate) fn is_read(&self) {
        self.ends.send_replace(Instant::now() + CONSOLE_STALL_TIMEOUT);
    }
}
