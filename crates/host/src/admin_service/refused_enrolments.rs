//! Wrong join tokens: limited per source, counted, and recorded as one audit entry a minute with their number.
//!
//! A token has 128 random bits, so guessing alone is no danger. The record lets an administrator see the attempts.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use activation::coded::{Code, Coded};
use metrics::Counter;
use moka::sync::Cache;
use tokio::{sync::Notify, time::sleep};
use tonic::Status;

use super::{acting::Acting, audit_log::AUDIT_TARGET};
use crate::{
    limits::{ENROLMENT_SOURCES_MAX, REFUSED_ENROLMENTS_INTERVAL, REFUSED_ENROLMENTS_PER_SOURCE_MAX},
    peers::node_client::NodeClient,
};

/// Enrolments that were refused recently, by source.
#[derive(Debug)]
pub(super) struct RefusedEnrolments {
    /// Refusals by source, each dropped [`REFUSED_ENROLMENTS_INTERVAL`] after its first one.
    by_source: Cache<IpAddr, Arc<AtomicU32>>,
    unrecorded: AtomicU64,
    refused: Notify,
    counter: Counter,
}

impl RefusedEnrolments {
    pub(super) fn new(counter: Counter) -> Self {
        let by_source =
            Cache::builder().max_capacity(ENROLMENT_SOURCES_MAX).time_to_live(REFUSED_ENROLMENTS_INTERVAL).build();
        Self { by_source, unrecorded: AtomicU64::new(0), refused: Notify::new(), counter }
    }

    /// Checks the limit of a source. Error: too many of this source's tokens were refused within the last minute. A
    /// caller without an address is on the node itself and has no limit.
    pub(super) fn admit(&self, from: &str) -> Result<(), Status> {
        let Some(source) = source(from) else { return Ok(()) };
        let refused = self.by_source.get(&source).map_or(0, |refused| refused.load(Ordering::Relaxed));
        if refused < REFUSED_ENROLMENTS_PER_SOURCE_MAX {
            return Ok(());
        }
        self.count();
        Err(Status::resource_exhausted(format!(
            "{refused} tokens from {from} were wrong within {0} s: try again {0} s later, with a token that \
             `quorate cluster token` printed",
            REFUSED_ENROLMENTS_INTERVAL.as_secs()
        )))
    }

    /// Counts a wrong token.
    pub(super) fn note(&self, from: &str) {
        tracing::warn!(target: AUDIT_TARGET, from, "a join token was refused");
        if let Some(source) = source(from) {
            self.by_source.get_with(source, Arc::default).fetch_add(1, Ordering::Relaxed);
        }
        self.count();
    }

    fn count(&self) {
        self.counter.increment(1);
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
        self.refused.notify_one();
    }

    /// Records refused tokens, at most once in each [`REFUSED_ENROLMENTS_INTERVAL`]. Does not return.
    pub(super) async fn record(&self, nodes: &NodeClient) {
        loop {
            self.refused.notified().await;
            let number = self.unrecorded.swap(0, Ordering::Relaxed);
            if number == 0 {
                continue;
            }
            tracing::warn!(number, "join tokens were refused: the cluster does not know them, or they have expired");
            if let Err(why) = Acting::node(nodes).record(&Coded::new(Code::RefuseEnrolments, [number])).await {
                // Count them again with the next entry.
                self.unrecorded.fetch_add(number, Ordering::Relaxed);
                tracing::error!(number, why = why.message(), "refused join tokens were not recorded");
            }
            sleep(REFUSED_ENROLMENTS_INTERVAL).await;
        }
    }
}

/// The source of a caller's address; `None` where the caller is on the node itself.
fn source(from: &str) -> Option<IpAddr> {
    from.parse().ok().map(transport::source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_may_send_a_limited_number_of_wrong_tokens_and_others_are_not_delayed() {
        let refusals = RefusedEnrolments::new(Counter::noop());
        for from in ["192.0.2.1", "2001:db8::1"] {
            for _ in 0..REFUSED_ENROLMENTS_PER_SOURCE_MAX {
                assert!(refusals.admit(from).is_ok());
                refusals.note(from);
            }
            let refused = refusals.admit(from).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        }
        assert!(refusals.admit("2001:db8::2").is_err(), "one /64 is one source");
        assert!(refusals.admit("::ffff:192.0.2.1").is_err(), "an address has two forms");
        for other in ["192.0.2.2", "2001:db8:0:1::1", "socket"] {
            assert!(refusals.admit(other).is_ok(), "{other}");
        }
        let refused = u64::from(2 * REFUSED_ENROLMENTS_PER_SOURCE_MAX) + 4;
        assert_eq!(refusals.unrecorded.load(Ordering::Relaxed), refused);
    }
}
