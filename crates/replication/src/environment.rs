//! What a replica is given from outside: time, the network, randomness.
//!
//! Everything in which a production node differs from a node under test comes in here, and nowhere else. Spawning of
//! tasks, sleeping and the disk are used directly today; where they become parameters too, they are added to
//! [`Environment`].

use std::{sync::Arc, time::Duration};

use tonic::transport::Channel;

use crate::observer::Observer;

/// The clocks of this node.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time in milliseconds since the Unix epoch. May jump.
    fn wall_ms(&self) -> u64;
    /// Time since an origin that stays the same while the process lives. Never jumps.
    fn monotonic(&self) -> Duration;
}

/// Opens a channel to HOST:PORT. It must return at once, connect when the channel is first used, and connect again after a
/// failure.
pub type Connect = Arc<dyn Fn(&str) -> Result<Channel, tonic::transport::Error> + Send + Sync>;

/// What a replica is given at its start.
pub struct Environment {
    /// The clocks of this node.
    pub clock: Arc<dyn Clock>,
    /// Opens channels to other nodes.
    pub connect: Connect,
    /// Seed of openraft's randomness, from which election timeouts follow.
    pub seed: u64,
    /// Receives measurements, and the state after each entry.
    pub observer: Arc<dyn Observer>,
}
