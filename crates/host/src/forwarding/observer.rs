//! What the gateway tells: metrics, and log lines about upstreams.

use std::{net::IpAddr, sync::Arc, time::Duration};

use activation::id::Cmid;
use gateway::{AssociationEnd, Failure, MirrorOutcome, Observer, State, UpstreamId};
use replication::Replica;

use crate::{
    http::metrics::{GatewayBytes, Metrics},
    records::distinct::Distinct,
};

/// Counts what happens, and logs changes of upstreams' states.
pub(super) struct Observed {
    metrics: Arc<Metrics>,
    /// Sketches of the clients' addresses, kept as 16 bytes each: an IPv6 address, IPv4-mapped or not.
    clients: Arc<Distinct>,
    replica: Replica,
}

impl Observed {
    pub(super) fn new(metrics: Arc<Metrics>, clients: Arc<Distinct>, replica: Replica) -> Self {
        Self { metrics, clients, replica }
    }
}

impl Observer for Observed {
    fn bound(&self, _upstream: &UpstreamId, took: Duration) {
        self.metrics.gateway_bound(took);
    }

    fn answered(&self, client: IpAddr, upstream: &UpstreamId, requests: u64) {
        let address = match client {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        self.clients.note(Cmid(address.octets()), self.replica.wall_ms());
        self.metrics.gateway_answered(&upstream.address.to_string(), requests);
    }

    fn association_ended(&self, end: &AssociationEnd) {
        let upstream = end.upstream.as_ref().map(ToString::to_string).unwrap_or_default();
        self.metrics.gateway_ended(end.ending.name());
        let bytes = GatewayBytes { from_clients: end.client_bytes, from_upstreams: end.upstream_bytes };
        self.metrics.gateway_bytes(bytes);
        tracing::debug!(
            client = %end.client,
            group = %end.group,
            upstream,
            requests = end.requests,
            client_bytes = end.client_bytes,
            upstream_bytes = end.upstream_bytes,
            duration_ms = end.duration.as_millis(),
            ending = end.ending.name(),
            "a forwarded association ended"
        );
    }

    fn failed(&self, upstream: &UpstreamId, failure: Failure) {
        self.metrics.gateway_failed(&upstream.address.to_string(), failure.name());
    }

    fn state_changed(&self, upstream: &UpstreamId, state: State, why: Option<Failure>) {
        let UpstreamId { group, address } = upstream;
        match (state, why) {
            (State::Failing, Some(why)) => {
                tracing::warn!(%group, upstream = %address, %why, "an upstream host fails: no association goes there");
            }
            (State::Failing, None) => {
                tracing::warn!(%group, upstream = %address, "an upstream host fails: no association goes there");
            }
            _ => tracing::info!(%group, upstream = %address, %state, "an upstream host changed its state"),
        }
    }

    fn loop_found(&self, upstream: &UpstreamId) {
        tracing::error!(
            group = %upstream.group,
            upstream = %upstream.address,
            "an upstream leads back to this cluster: take it out of gateway.upstreams (`quorate gateway status`)"
        );
    }

    fn mirrored(&self, mirror: Option<&UpstreamId>, outcome: MirrorOutcome, requests: u64) {
        let mirror = mirror.map(|mirror| mirror.address.to_string()).unwrap_or_default();
        self.metrics.gateway_mirrored(&mirror, outcome == MirrorOutcome::Answered, requests);
    }

    fn targets_changed(&self, name: &str, targets: usize) {
        tracing::info!(name, targets, "the targets of an upstream's SRV records changed");
    }
}
