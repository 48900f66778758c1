//! The invariants of the replicated state, checked after every entry: in the demo, and where a test asks for it.

use std::{sync::Arc, time::Duration};

use activation::state::State;
use replication::{AppliedEntry, Observer};

use crate::{http::metrics::Metrics, test_hooks};

/// Measures as [`Metrics`] does, and panics as soon as an applied entry has broken an invariant. The panic ends the
/// replica, so that the node stops.
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
