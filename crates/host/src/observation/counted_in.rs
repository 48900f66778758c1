//! The counts that include a client machine.

use activation::{id::Cmid, state::State};
use api::admin::v1::{CountedInReply, SeenIn};
use bytes::Bytes;

/// Each application's record of a CMID, and whether it counts at `expiry_ms`, the time against which machines
/// expire.
pub(crate) fn counted_in(state: &State, cmid: Cmid, expiry_ms: u64) -> CountedInReply {
    let seen = state.seen(cmid).map(|known| {
        let publisher = state.publisher(known.publisher).map_or_else(String::new, |of| of.name().to_owned());
        let count = state.count(known.publisher, known.application.as_str());
        SeenIn {
            publisher: Bytes::copy_from_slice(&known.publisher.0),
            publisher_name: publisher,
            application: known.application.to_string(),
            counted: count.is_some_and(|count| count.counts(cmid, expiry_ms)),
            last_request_ms: known.last_request_ms,
            node: known.seen.node,
            machine_name: known.seen.machine_name.to_string(),
        }
    });
    CountedInReply { seen: seen.collect(), expiry_ms }
}
