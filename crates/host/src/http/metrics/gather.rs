//! Metrics that are read when the page is requested: from the state, the replica and the node's other parts.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use activation::{
    certificate::Validity,
    state::{ApplicationCount, EXPIRING_DAYS, State},
};
use replication::{Follower, Health, Replica};
use serde_json::{Value, json};
use transport::PresentedIdentity;

use super::{Metrics, difference_s, seconds, table};
use crate::{
    dns::Dns,
    forwarding::Forwarding,
    lifecycle::{
        ports::Ports,
        readiness::{Purpose, Readiness},
    },
    peers::node_client::NodeClient,
    records::distinct::{DISTINCT_DAYS, Distinct},
    records::duplicates::Duplicates,
    records::{log_limit::lines_left_out, log_queue::lines_dropped},
};

/// The parts of a node from which metrics and the console read.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) replica: Replica,
    pub(crate) nodes: NodeClient,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) duplicates: Arc<Duplicates>,
    pub(crate) dns: Option<Arc<Dns>>,
    pub(crate) distinct: Arc<Distinct>,
    /// The certificate that the node presents to the other nodes.
    pub(crate) shown: Arc<PresentedIdentity>,
    pub(crate) ports: Ports,
    pub(crate) forwarding: Arc<Forwarding>,
    /// The node's data folder.
    pub(crate) data: PathBuf,
    pub(crate) snapshot: PathBuf,
}

impl Watched {
    /// The page of metrics that Prometheus scrapes.
    pub(crate) fn page(&self) -> String {
        let metrics = &self.metrics;
        metrics.set(&table::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
        self.look_at_node();
        self.look_at_raft();
        let now_ms = self.expiry_time_ms();
        self.replica.view(|state| {
            metrics.set(&table::FORMAT, &[], state.format().number().into());
            for application in state.counts(now_ms) {
                metrics.look_at_count(&application, now_ms);
            }
            self.look_at_keys(state);
        });
        let handle = metrics.recorder.handle();
        handle.run_upkeep();
        handle.render()
    }

    /// The time against which machines expire: the time that was stamped last, which a leader keeps up to date. In
    /// formats 1 and 2 a leader does not: where nothing was stamped for long, this node's clock is used.
    pub(crate) fn expiry_time_ms(&self) -> u64 {
        let times = self.replica.view(State::times);
        if let Some(expiry_ms) = times.expiry_ms {
            return expiry_ms;
        }
        let stamped = times.time_ms.unwrap_or(0);
        // Without requests no time is stamped in these formats: machines that expired meanwhile must not be shown as
        // counted.
        stamped.max(self.replica.wall_ms().min(stamped.saturating_add(LULL_MS_MAX)))
    }

    fn look_at_node(&self) {
        let metrics = &self.metrics;
        metrics.set(&table::READY, &[], flag(self.readiness.unready_because().is_none()));
        metrics.set(&table::DRAINING, &[], flag(self.readiness.draining().is_on()));
        metrics.set(&table::CERTIFICATE_ENDS, &[], seconds(self.shown.now().ends_ms()));
        let made = fs::metadata(&self.snapshot).and_then(|snapshot| snapshot.modified()).ok();
        let made_ms = made.and_then(|made| made.duration_since(UNIX_EPOCH).ok()).map(whole_ms);
        let age = made_ms.map_or(0.0, |made_ms| difference_s(self.replica.wall_ms(), made_ms).max(0.0));
        metrics.set(&table::SNAPSHOT_AGE, &[], age);
        metrics.set(&table::SNAPSHOT_INDEX, &[], number(self.replica.snapshot_index()));
        metrics.set(&table::STORE_BYTES, &[], self.replica.store_bytes().map_or(f64::NAN, number));
        metrics.set(&table::STORE_BLOBS, &[], number(self.replica.unsynced_pages() as u64));
        // A value that cannot be read is shown as NaN: the last value that was read may be wrong by now.
        let disk = rustix::fs::statvfs(&self.data).ok();
        let bytes = |blocks: u64, size: u64| number(blocks.saturating_mul(size));
        let size = disk.as_ref().map_or(f64::NAN, |disk| bytes(disk.f_blocks, disk.f_frsize));
        let free = disk.as_ref().map_or(f64::NAN, |disk| bytes(disk.f_bavail, disk.f_frsize));
        metrics.set(&table::DATA_SIZE, &[], size);
        metrics.set(&table::DATA_FREE, &[], free);
        for (days, machines) in DISTINCT_DAYS.iter().zip(self.distinct.estimates()) {
            metrics.set(&table::DISTINCT, &[&days.to_string()], machines);
        }
        metrics.log_left_out.absolute(lines_left_out());
        metrics.log_dropped.absolute(lines_dropped());
        for (port, connections) in self.ports.named() {
            metrics.look_at_port(port, connections.counts());
        }
        metrics.look_at_gateway(&self.forwarding.status());
        metrics.set(&table::DUPLICATES, &[], number(self.duplicates.suspects() as u64));
        let Some(dns) = &self.dns else { return };
        for (domain, strangers) in dns.strangers() {
            metrics.set(&table::DNS_FOREIGN, &[&domain], strangers.into());
        }
        for domain in dns.own_publications().domains {
            let labels = [domain.domain.as_str()];
            metrics.set(&table::DNS_FAILED, &labels, flag(!domain.last_error.is_empty()));
            if let Some(ago_s) = domain.settled_ago_s {
                metrics.set(&table::DNS_AGE, &labels, number(ago_s));
            }
        }
    }

    fn look_at_raft(&self) {
        let metrics = &self.metrics;
        let cluster = self.replica.cluster();
        let leads = cluster.leader == Some(cluster.node);
        let applied = self.replica.progress().borrow().applied_index;
        for (metric, value) in [
            (&table::LEADER_KNOWN, flag(cluster.leader.is_some())),
            (&table::IS_LEADER, flag(leads)),
            (&table::TERM, number(cluster.term)),
            (&table::VOTERS, number(cluster.voters.len() as u64)),
            (&table::MEMBERS, number(cluster.members.len() as u64)),
            (&table::LAST_INDEX, number(cluster.last_index)),
            (&table::APPLIED_INDEX, number(applied)),
            (&table::DIVERGED, flag(matches!(self.replica.health(), Health::Diverged(_)))),
            (&table::QUARANTINED, flag(matches!(self.replica.health(), Health::Quarantined(_)))),
        ] {
            metrics.set(metric, &[], value);
        }
        let (alarm, ahead_ms) = self.replica.clock();
        metrics.set(&table::CLOCK_ALARM, &[], flag(alarm.is_some()));
        metrics.set(&table::CLOCK_AHEAD, &[], ahead_ms.map_or(f64::NAN, seconds));
        let followers = self.replica.followers();
        // Values that only a leader has are 0 on the other nodes where 0 means that nothing is known, and NaN where
        // 0 would mean that all is well. A value of an earlier leadership is never shown.
        let voters = |counts: fn(&Follower) -> bool| {
            let others = followers.values().filter(|follower| follower.votes && counts(follower)).count();
            if leads { number(others as u64 + 1) } else { 0.0 }
        };
        metrics.set(&table::VOTERS_ANSWERING, &[], voters(|voter| voter.answers));
        metrics.set(&table::VOTERS_CAUGHT_UP, &[], voters(|voter| voter.answers && !voter.lags));
        let drained = followers.values().filter(|follower| follower.is_leaving);
        let drained_voters = drained.clone().filter(|follower| follower.votes).count();
        metrics.set(&table::MEMBERS_DRAINED, &[], if leads { number(drained.count() as u64) } else { 0.0 });
        metrics.set(&table::VOTERS_DRAINED, &[], if leads { number(drained_voters as u64) } else { 0.0 });
        let round_trips = self.replica.round_trips();
        metrics.set(&table::ROUND_TRIP_MAX, &[], self.replica.round_trip_max().as_secs_f64());
        for node in cluster.members.keys().filter(|node| **node != cluster.node) {
            let follower = followers.get(node).filter(|_| leads);
            let known = |value: fn(&Follower) -> f64| follower.map_or(f64::NAN, value);
            let peer = node.to_string();
            metrics.set(&table::ROUND_TRIP, &[&peer], round_trips.get(node).map_or(f64::NAN, Duration::as_secs_f64));
            metrics.set(&table::LAG, &[&peer], known(|follower| number(follower.lag)));
            metrics.set(&table::LAGS, &[&peer], known(|follower| flag(follower.lags)));
            metrics.set(&table::PEER_DRAINED, &[&peer], known(|follower| flag(follower.is_leaving)));
        }
    }

    fn look_at_keys(&self, state: &State) {
        let node = self.replica.identity().owner;
        for group in state.publishers().flat_map(|publisher| publisher.catalog().groups()) {
            self.metrics.expect_group(group.name.as_str());
        }
        for key in state.keys() {
            let Some(publisher) = state.publisher(key.publisher) else { continue };
            let own = key.activations.get(&node);
            let validity = own.map(|activation| activation.certificate.validity());
            let moment = |of: fn(Validity) -> Option<u64>| {
                validity.map_or(f64::NAN, |validity| of(validity).map_or(f64::INFINITY, seconds))
            };
            let labels = [publisher.name(), &key.id.to_string()];
            self.metrics.set(&table::HOST_CERTIFICATE_ENDS, &labels, moment(Validity::ends_ms));
            self.metrics.set(&table::HOST_CERTIFICATE_DUE, &labels, moment(Validity::due_ms));
            if let Some(activation) = own
                && let Some(group) = publisher.catalog().group(activation.certificate.group)
            {
                self.metrics.set(&table::ACTIVATED, &[publisher.name(), group.name.as_str()], 1.0);
            }
            if let Some(standing) = &key.standing {
                self.metrics.set(&table::KEY_USED, &labels, standing.hosts_used.into());
                self.metrics.set(&table::KEY_LIMIT, &labels, standing.hosts_limit.into());
            }
        }
    }

    /// Whether the node is ready for `purpose`, and the state of each condition.
    pub(crate) fn readiness_report(&self, purpose: Purpose) -> (bool, Value) {
        let checks = self.readiness.checks(purpose);
        let ready = checks.iter().all(|(_, why)| why.is_none());
        let checks = checks.iter().map(|(name, why)| json!({ "name": name, "ok": why.is_none(), "reason": why }));
        let node = self.replica.identity().owner;
        (ready, json!({ "ready": ready, "node": node, "checks": checks.collect::<Vec<_>>() }))
    }
}

/// Longest time in milliseconds by which the node's own clock replaces the stamped time while there are no requests.
const LULL_MS_MAX: u64 = 86_400_000;

impl Metrics {
    fn look_at_count(&self, application: &ApplicationCount, now_ms: u64) {
        let name = application.application.as_str();
        let of = [application.publisher_name.as_str(), name];
        self.set(&table::COUNT, &of, application.count.into());
        self.set(&table::CACHE_LIMIT, &of, application.cache_limit.into());
        let oldest = application.oldest_ms.map_or(0.0, |oldest_ms| difference_s(now_ms, oldest_ms));
        self.set(&table::CACHE_OLDEST, &of, oldest);
        self.set(&table::UNRENEWED, &of, application.unrenewed.into());
        for (days, expiring) in EXPIRING_DAYS.iter().zip(application.expiring) {
            self.set(&table::CACHE_EXPIRING, &[of[0], of[1], &days.to_string()], expiring.into());
        }
        for product in &application.products {
            let labels = [of[0], of[1], product.name.as_str(), product.group.as_str()];
            let is_met = application.count >= product.threshold;
            self.set(&table::THRESHOLD, &labels, product.threshold.into());
            let falls = product.forecast.without_requests_ms.map_or(0.0, seconds);
            self.set(&table::FALLS_BELOW, &labels, falls);
            let stays = if is_met { f64::INFINITY } else { 0.0 };
            let falls = product.forecast.with_trend_ms.map_or(stays, seconds);
            self.set(&table::FALLS_BELOW_BY_TREND, &labels, falls);
        }
    }
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

#[expect(clippy::cast_precision_loss, reason = "indices and sizes have less than 53 bits")]
fn number(value: u64) -> f64 {
    value as f64
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
