//! The clocks of a node, and the intervals of its own periodic work.

use std::sync::Arc;

use replication::{Clock, Pace};

use crate::environment::SystemClock;

/// The clocks and intervals of a node. A daemon uses the defaults; no configuration changes them.
#[derive(Clone)]
pub struct Timing {
    /// The clocks of the node.
    pub clock: Arc<dyn Clock>,
    /// The intervals of the replica's periodic work.
    pub pace: Pace,
}

impl Default for Timing {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock::default()), pace: Pace::default() }
    }
}
