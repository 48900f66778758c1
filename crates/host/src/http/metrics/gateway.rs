//! Metrics of the gateway (G10). A label is an upstream or a group of the cluster's settings, never a client.

use std::{sync::PoisonError, time::Duration};

use super::{Metrics, counter, table};

/// Bytes that one association carried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GatewayBytes {
    pub(crate) from_clients: u64,
    pub(crate) from_upstreams: u64,
}

impl Metrics {
    pub(crate) fn gateway_bound(&self, took: Duration) {
        self.gateway_bind_seconds.record(took);
    }

    pub(crate) fn gateway_answered(&self, upstream: &str, requests: u64) {
        counter(&self.recorder, &table::GATEWAY_REQUESTS, &[upstream]).increment(requests);
    }

    pub(crate) fn gateway_ended(&self, ending: &str) {
        counter(&self.recorder, &table::GATEWAY_ENDED, &[ending]).increment(1);
    }

    pub(crate) fn gateway_bytes(&self, bytes: GatewayBytes) {
        for (direction, bytes) in [("to_upstream", bytes.from_clients), ("to_client", bytes.from_upstreams)] {
            counter(&self.recorder, &table::GATEWAY_BYTES, &[direction]).increment(bytes);
        }
    }

    pub(crate) fn gateway_failed(&self, upstream: &str, kind: &str) {
        counter(&self.recorder, &table::GATEWAY_FAILURES, &[upstream, kind]).increment(1);
    }

    pub(crate) fn gateway_mirrored(&self, upstream: &str, is_answered: bool, requests: u64) {
        let result = if is_answered { "answered" } else { "dropped" };
        counter(&self.recorder, &table::GATEWAY_MIRRORED, &[upstream, result]).increment(requests);
    }

    /// Sets what the gateway's status says of each upstream. An upstream that is not configured any more shows NaN.
    pub(super) fn look_at_gateway(&self, status: &gateway::Status) {
        let mut shown = self.gateway_upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = std::mem::take(&mut *shown);
        for (group, upstream) in &gone {
            for metric in [&table::GATEWAY_HEALTHY, &table::GATEWAY_PREFERRED, &table::GATEWAY_OPEN] {
                self.set(metric, &[group, upstream], f64::NAN);
            }
        }
        for upstream in &status.upstreams {
            let (group, address) = (upstream.id.group.to_string(), upstream.id.address.to_string());
            let labels = [group.as_str(), address.as_str()];
            let flag = |is_set| if is_set { 1.0 } else { 0.0 };
            self.set(&table::GATEWAY_HEALTHY, &labels, flag(upstream.state == gateway::State::Healthy));
            self.set(&table::GATEWAY_PREFERRED, &labels, flag(upstream.is_preferred));
            self.set(&table::GATEWAY_OPEN, &labels, f64::from(u32::try_from(upstream.counts.open).unwrap_or(u32::MAX)));
            counter(&self.recorder, &table::GATEWAY_ASSOCIATIONS, &labels).absolute(upstream.counts.associations);
            shown.insert((group, address));
        }
        let age = status.last_request.map_or(f64::NAN, |age| age.as_secs_f64());
        self.set(&table::GATEWAY_SILENCE, &[], age);
    }
}
