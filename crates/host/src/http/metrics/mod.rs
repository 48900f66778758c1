//! Metrics of a node: counted where an event happens ([`Metrics`]), or read when the page is requested ([`gather`]).
//!
//! Each node has its own recorder, and there is no global one: several nodes may run in one process.

mod gateway;
mod gather;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use activation::{
    id::{ProductId, PublisherId},
    message::Request,
    state::State,
    status::Status,
};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use replication::{Observer, Replica};
use transport::Counts;

pub(crate) use self::gateway::GatewayBytes;
pub(crate) use self::gather::Watched;
pub use self::table::{Kind, METRICS, Metric, markdown};
use crate::client_port::foreign::{self, Foreign};

/// The outcome of a request with the status of its answer: every pair that exists.
const ANSWERS: [(&str, Status); 7] = [
    ("activated", Status::OK),
    ("below_threshold", Status::OK),
    ("refused", Status::HOST_NOT_ACTIVATED),
    ("refused", Status::KEY_BLOCKED),
    ("refused", Status::KEY_DOES_NOT_COVER_PRODUCT),
    ("refused", Status::CLOCK_SKEW),
    ("refused", Status::HOST_UNAVAILABLE),
];

/// The group label of requests whose product is in no installed catalog.
const NO_GROUP: &str = "none";

/// Counters of one product group, in the order of [`ANSWERS`].
type Answers = Arc<[Counter; ANSWERS.len()]>;

/// Counters of the requested products, and the index of the configuration for which they are valid.
#[derive(Default)]
struct Groups {
    configuration_index: u64,
    of_products: BTreeMap<(PublisherId, ProductId), Answers>,
}

/// The metrics that a node counts while it runs.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    groups: RwLock<Groups>,
    without_group: Answers,
    request_seconds: Histogram,
    skew: Histogram,
    pub(crate) other_machine: Counter,
    log_left_out: Counter,
    log_dropped: Counter,
    pub(crate) connections: Counter,
    pub(crate) connections_open: Gauge,
    faults: [Counter; 3],
    /// Foreign connections by kind, in the order of [`foreign::KINDS`].
    foreign: [Counter; foreign::KINDS.len()],
    leader_changes: Counter,
    pub(crate) unavailable: Counter,
    pub(crate) new_cmids: Counter,
    pub(crate) new_cmids_refused: Counter,
    commit_seconds: Histogram,
    batch_requests: Histogram,
    fsync_seconds: Histogram,
    gateway_bind_seconds: Histogram,
    /// The upstreams that the last page showed, by group and address.
    gateway_upstreams: Mutex<BTreeSet<(String, String)>>,
}

/// How a client broke the rules.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClientFault {
    /// It violated the DCE/RPC protocol.
    Protocol,
    /// It exceeded a deadline.
    Slow,
    /// It sent a malformed request.
    Request,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut builder = PrometheusBuilder::new();
        for metric in METRICS {
            if let Kind::Histogram(bounds) = metric.kind {
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(metric.name.into()), bounds)
                    .expect("a histogram of the table has bounds");
            }
        }
        let recorder = builder.build_recorder();
        for Metric { name, kind, help, .. } in METRICS {
            let (name, help) = (KeyName::from_const_str(name), (*help).into());
            match kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram(_) => recorder.describe_histogram(name, None, help),
            }
        }
        let without_group = answers(&recorder, NO_GROUP);
        let counter = |metric: &Metric, labels: &[&str]| counter(&recorder, metric, labels);
        let histogram = |metric: &Metric| recorder.register_histogram(&key(metric, &[]), &METADATA);
        Self {
            groups: RwLock::default(),
            without_group,
            request_seconds: histogram(&table::REQUEST_SECONDS),
            skew: histogram(&table::SKEW),
            other_machine: counter(&table::OTHER_MACHINE, &[]),
            log_left_out: counter(&table::LOG_LEFT_OUT, &[]),
            log_dropped: counter(&table::LOG_DROPPED, &[]),
            connections: counter(&table::CONNECTIONS, &[]),
            connections_open: recorder.register_gauge(&key(&table::CONNECTIONS_OPEN, &[]), &METADATA),
            faults: ["protocol", "slow", "request"].map(|kind| counter(&table::CLIENT_FAULTS, &[kind])),
            foreign: foreign::KINDS.map(|(_, kind)| counter(&table::FOREIGN_CONNECTIONS, &[kind])),
            leader_changes: counter(&table::LEADER_CHANGES, &[]),
            new_cmids: counter(&table::NEW_CMIDS, &[]),
            new_cmids_refused: counter(&table::NEW_CMIDS_REFUSED, &[]),
            unavailable: counter(&table::UNAVAILABLE, &[]),
            commit_seconds: histogram(&table::COMMIT_SECONDS),
            batch_requests: histogram(&table::BATCH_REQUESTS),
            fsync_seconds: histogram(&table::FSYNC_SECONDS),
            gateway_bind_seconds: histogram(&table::GATEWAY_BIND_SECONDS),
            gateway_upstreams: Mutex::default(),
            recorder,
        }
    }
}

const METADATA: metrics::Metadata<'_> = metrics::Metadata::new("quorate", Level::INFO, None);

/// The key of a metric, with values in the order of its labels.
fn key(metric: &Metric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels = metric.labels.iter().zip(values).map(|(label, value)| Label::new(*label, (*value).to_owned()));
    Key::from_parts(metric.name, labels.collect::<Vec<_>>())
}

fn counter(recorder: &PrometheusRecorder, metric: &Metric, labels: &[&str]) -> Counter {
    recorder.register_counter(&key(metric, labels), &METADATA)
}

fn answers(recorder: &PrometheusRecorder, group: &str) -> Answers {
    Arc::new(ANSWERS.map(|(result, status)| counter(recorder, &table::REQUESTS, &[group, result, &status.to_string()])))
}

/// The measurements of one answered request.
pub(crate) struct RequestMeasurement<'a> {
    pub(crate) request: &'a Request,
    pub(crate) status: Status,
    /// Whether the count reached the threshold; without meaning for a refusal.
    pub(crate) is_met: bool,
    /// The cluster time at which the request was recorded; `None` where it was not recorded.
    pub(crate) cluster_time_ms: Option<u64>,
    pub(crate) took: Duration,
}

impl Metrics {
    pub(crate) fn answered(&self, replica: &Replica, answered: &RequestMeasurement<'_>) {
        let RequestMeasurement { request, status, is_met, cluster_time_ms, took } = *answered;
        let result = match (status, is_met) {
            (Status::OK, true) => "activated",
            (Status::OK, false) => "below_threshold",
            _ => "refused",
        };
        let of = ANSWERS.iter().position(|answer| *answer == (result, status));
        if let Some(counter) = of.and_then(|of| self.group(replica, request).get(of).cloned()) {
            counter.increment(1);
        }
        self.request_seconds.record(took);
        if let Some(cluster_time_ms) = cluster_time_ms {
            self.skew.record(difference_s(request.client_time_ms, cluster_time_ms));
        }
    }

    /// The counters of the group that a request's product needs.
    fn group(&self, replica: &Replica, request: &Request) -> Answers {
        let product = (request.publisher, request.product);
        let configuration_index = replica.progress().borrow().configuration_index;
        {
            let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
            if groups.configuration_index == configuration_index
                && let Some(known) = groups.of_products.get(&product)
            {
                return Arc::clone(known);
            }
        }
        // Products in no catalog are not kept: a client may send any product id.
        let Some(name) = replica.view(|state| group_of(state, request)) else { return Arc::clone(&self.without_group) };
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        if groups.configuration_index != configuration_index {
            *groups = Groups { configuration_index, ..Groups::default() };
        }
        Arc::clone(groups.of_products.entry(product).or_insert_with(|| answers(&self.recorder, &name)))
    }

    /// Registers the counters of a group before its first request, so that a scraper sees them start at 0.
    fn expect_group(&self, name: &str) {
        answers(&self.recorder, name);
    }

    pub(crate) fn client_fault(&self, fault: ClientFault) {
        let [protocol, slow, request] = &self.faults;
        match fault {
            ClientFault::Protocol => protocol.increment(1),
            ClientFault::Slow => slow.increment(1),
            ClientFault::Request => request.increment(1),
        }
    }

    pub(crate) fn foreign_connection(&self, foreign: Foreign) {
        let of_kind = foreign::KINDS.iter().zip(&self.foreign).find(|((kind, _), _)| *kind == foreign);
        if let Some((_, counter)) = of_kind {
            counter.increment(1);
        }
    }

    /// Sets the counters of a port's connections.
    fn look_at_port(&self, port: &str, counts: Counts) {
        let refused =
            [("network", counts.refused_networks), ("source", counts.refused_sources), ("system", counts.not_accepted)];
        for (limit, refused) in refused {
            counter(&self.recorder, &table::CONNECTIONS_REFUSED, &[port, limit]).absolute(refused);
        }
        counter(&self.recorder, &table::CONNECTIONS_EVICTED, &[port]).absolute(counts.evicted);
    }

    /// The counter of join tokens that were refused.
    pub(crate) fn refused_enrolments(&self) -> Counter {
        counter(&self.recorder, &table::ENROLMENTS_REFUSED, &[])
    }

    /// The counters of events that are missing in the activation log: those that it could not take, and those above
    /// a source's quota.
    pub(crate) fn activations_not_kept(&self) -> (Counter, Counter) {
        let [lost, left_out] =
            [&table::ACTIVATIONS_LOST, &table::ACTIVATIONS_LEFT_OUT].map(|metric| counter(&self.recorder, metric, &[]));
        (lost, left_out)
    }

    pub(crate) fn leader_changed(&self) {
        self.leader_changes.increment(1);
    }

    fn set(&self, metric: &Metric, labels: &[&str], value: f64) {
        self.recorder.register_gauge(&key(metric, labels), &METADATA).set(value);
    }
}

impl Observer for Metrics {
    fn committed(&self, requests: usize, took: Duration) {
        self.batch_requests.record(f64::from(u32::try_from(requests).unwrap_or(u32::MAX)));
        self.commit_seconds.record(took);
    }

    fn synced(&self, took: Duration) {
        self.fsync_seconds.record(took);
    }
}

fn group_of(state: &State, request: &Request) -> Option<String> {
    let publisher = state.publisher(request.publisher)?;
    let product = publisher.opened().product(request.product)?;
    Some(publisher.catalog().group(product.group)?.name.to_string())
}

/// The difference between two times, in seconds.
fn difference_s(one_ms: u64, other_ms: u64) -> f64 {
    seconds(one_ms) - seconds(other_ms)
}

/// Milliseconds as seconds. Exact to the millisecond for the next hundred thousand years.
#[expect(clippy::cast_precision_loss, reason = "times in milliseconds have less than 53 bits")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
