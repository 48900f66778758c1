//! What a gateway takes from outside.

use std::{fmt, net::SocketAddr, sync::Arc};

use crate::{
    driver::{names::Names, observer::Observer},
    loops::LoopKey,
};

/// Whether an address is a member's own port for clients.
pub type IsMember = dyn Fn(SocketAddr) -> bool + Send + Sync;

/// What a gateway takes from outside. Deadlines use tokio's clock.
#[derive(Clone)]
pub struct Environment {
    pub names: Arc<dyn Names>,
    pub observer: Arc<dyn Observer>,
    /// Addresses that are never an upstream, whatever name they have.
    pub is_member: Arc<IsMember>,
    /// The same on every node of the cluster.
    pub loop_key: LoopKey,
    /// Seed of the probes' jitter; different on every node.
    pub seed: u64,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}
