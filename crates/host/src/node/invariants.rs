//! Checks of the invariants of the replicated state after every entry: in the demo, and where a test requests them.

use std::{sync::Arc, time::Duration};

use activation::state::State;
use replication::{AppliedEntry, Observer};

use crate::{http::metrics::Metrics, test_hooks};

/// Measures as [`Metrics`] does, and panics when an applied entry breaks an invariant. The panic ends the replica,
/// so that the node stops.
pub(crate) struct InvariantChecks(pub(crate) Arc<Metrics>);

impl Observer for InvariantChecks {
    fn committed(&self, requests: usize, took: Duration) {
        self.0.committed(requests, took);
    }

    fn synced(&self, took: Duration) {
        self.0.synced(took);
    }

    fn applied(&self, _entry: &AppliedEntry<'_>, state: &State) {
        test_hooks::panic_in("apply");
        state.check_invariants();
    }
}
