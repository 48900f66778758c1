//! The clocks of a node, and the pace of what it does by itself.

use std::sync::Arc;

use replication::{Clock, Pace};

use crate::environment::SystemClock;

/// By what time a node lives. A daemon has the defaults: no configuration changes them.
#[derive(Clone)]
pub struct Timing {
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// How often its replica does what nobody asks for.
    pub pace: Pace,
}

impl Default for Timing {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock::default()), pace: Pace::default() }
    }
}
