//! The definition of every metric: name, labels and help, for the scraped page and for `docs/observability.md`.
//!
//! Names begin with `quorate_`, units are base units. A CMID or a machine name is never a label: labels have few
//! values, and only values that the cluster defines.

use std::fmt::Write as _;

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A counter, which only grows while the node runs.
    Counter,
    /// A gauge: the value at the time of the scrape.
    Gauge,
    /// A histogram with these upper bounds.
    Histogram(&'static [f64]),
}

/// The definition of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// The complete name.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// The help text: the meaning of the metric.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, bounds: &'static [f64], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram(bounds), labels: &[], help }
}

/// Upper bounds for latencies, in seconds: 0.1 ms to 10 s.
const LATENCIES: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Upper bounds for clock skew, in seconds. At most 4 h are accepted (0xC004F06C).
const SKEWS: &[f64] =
    &[-14_400.0, -3_600.0, -600.0, -60.0, -10.0, -1.0, 0.0, 1.0, 10.0, 60.0, 600.0, 3_600.0, 14_400.0];

const COUNTED: &[&str] = &["publisher", "application"];
const PRODUCT: &[&str] = &["publisher", "application", "product", "group"];

pub(crate) const BUILD_INFO: Metric = gauge("quorate_build_info", &["version"], "Always 1; the version of the program");
pub(crate) const READY: Metric = gauge("quorate_ready", &[], "1 where the node answers clients, as /readyz says");
pub(crate) const DRAINING: Metric = gauge("quorate_draining", &[], "1 where the node is on its way out of service");
pub(crate) const FORMAT: Metric = gauge("quorate_format", &[], "The format that the cluster writes");

pub(crate) const COUNT: Metric =
    gauge("quorate_counted_machines", COUNTED, "Machines that asked within 30 days: the count of the application");
pub(crate) const CACHE_LIMIT: Metric =
    gauge("quorate_cache_limit", COUNTED, "Machines that are remembered at most; 0 before the first request");
pub(crate) const CACHE_OLDEST: Metric =
    gauge("quorate_cache_oldest_seconds", COUNTED, "Time since the machine asked that counts and asked longest ago");
pub(crate) const CACHE_EXPIRING: Metric = gauge(
    "quorate_cache_expiring",
    &["publisher", "application", "days"],
    "Machines that are forgotten within so many days if they do not ask again",
);
pub(crate) const UNRENEWED: Metric = gauge(
    "quorate_unrenewed_machines",
    COUNTED,
    "Machines that count and whose last request is a day older than the renewal interval, or more",
);
pub(crate) const THRESHOLD: Metric =
    gauge("quorate_threshold", PRODUCT, "The count that the product's machines need to be activated");
pub(crate) const FALLS_BELOW: Metric = gauge(
    "quorate_falls_below_timestamp_seconds",
    PRODUCT,
    "When the count falls below the threshold if no machine asks from now on; 0 where it is below already",
);
pub(crate) const FALLS_BELOW_BY_TREND: Metric = gauge(
    "quorate_falls_below_by_trend_timestamp_seconds",
    PRODUCT,
    "The same if the machines that asked within 7 days go on to; 0 where it is below, +Inf where it stays above",
);

pub(crate) const REQUESTS: Metric = counter(
    "quorate_requests_total",
    &["group", "result", "status"],
    "Requests by the product group that they need, what became of them, and the HRESULT that was answered",
);
pub(crate) const REQUEST_SECONDS: Metric =
    histogram("quorate_request_seconds", LATENCIES, "From a request's last byte to its answer");
pub(crate) const SKEW: Metric = histogram(
    "quorate_client_clock_skew_seconds",
    SKEWS,
    "How far the clocks of the machines that asked are ahead of cluster time",
);
pub(crate) const OTHER_MACHINE: Metric = counter(
    "quorate_duplicate_cmid_requests_total",
    &[],
    "Requests with a CMID with which another machine asked before: copied machines, or changed hardware",
);

pub(crate) const NEW_CMIDS: Metric = counter(
    "quorate_new_cmids_total",
    &[],
    "Machines that were counted and that the count did not remember: new ones, and those that it forgot",
);
pub(crate) const NEW_CMIDS_REFUSED: Metric = counter(
    "quorate_new_cmids_refused_total",
    &[],
    "Requests of such machines that were refused: more of one source than clients.new_cmids_per_minute",
);

pub(crate) const DISTINCT: Metric = gauge(
    "quorate_distinct_machines",
    &["days"],
    "Machines that asked any node within so many days, and up to six hours more: an estimate, good to 2 % or so",
);
pub(crate) const DUPLICATES: Metric = gauge(
    "quorate_duplicate_cmids",
    &[],
    "CMIDs, among those that this node remembers, with which several machines ask: `quorate duplicates` names them",
);

pub(crate) const CONNECTIONS: Metric = counter("quorate_connections_total", &[], "Connections of clients");
pub(crate) const CONNECTIONS_OPEN: Metric =
    gauge("quorate_connections_open", &[], "Connections of clients at the moment");
pub(crate) const CONNECTIONS_REFUSED: Metric = counter(
    "quorate_connections_refused_total",
    &["port", "limit"],
    "Connections refused on a port: network (the port's allow list lacks it), source (all its connections have a call under way) or system (no descriptor is left)",
);
pub(crate) const CONNECTIONS_EVICTED: Metric = counter(
    "quorate_connections_evicted_total",
    &["port"],
    "Idle connections that were closed on a port for new ones, of the source with most",
);
pub(crate) const ENROLMENTS_REFUSED: Metric = counter(
    "quorate_enrolments_refused_total",
    &[],
    "Join tokens that the node refused: unknown, used already, expired, or too many wrong ones of a source",
);
pub(crate) const CLIENT_FAULTS: Metric = counter(
    "quorate_client_faults_total",
    &["kind"],
    "Clients that broke the protocol, took too long, or sent what is no request",
);

pub(crate) const FOREIGN_CONNECTIONS: Metric = counter(
    "quorate_foreign_connections_total",
    &["kind"],
    "Connections to port 1688 that are no client's: closed without a byte (health checks), TLS, HTTP, a PROXY header",
);

pub(crate) const ACTIVATIONS_LOST: Metric = counter(
    "quorate_activation_log_lost_total",
    &[],
    "Answered requests that the activation log could not take: the disk is full or too slow",
);
pub(crate) const ACTIVATIONS_LEFT_OUT: Metric = counter(
    "quorate_activation_log_left_out_total",
    &[],
    "Refused requests that the activation log left out: more than 10 of one source in a minute",
);
pub(crate) const LOG_LEFT_OUT: Metric = counter(
    "quorate_log_lines_left_out_total",
    &[],
    "Lines that were left out of the log since the process began: too many of a kind, or about one source, in a second",
);
pub(crate) const LOG_DROPPED: Metric = counter(
    "quorate_log_lines_dropped_total",
    &[],
    "Lines that were dropped since the process began: what reads the log is too slow, has stopped reading, or is full",
);
pub(crate) const LEADER_KNOWN: Metric =
    gauge("quorate_raft_leader_known", &[], "1 where the node knows a leader that a majority confirmed within seconds");
pub(crate) const CLOCK_ALARM: Metric = gauge(
    "quorate_clock_alarm",
    &[],
    "1 on the leader where the nodes' clocks jumped and nothing confirms it, or where cluster time is ahead of them",
);
pub(crate) const CLOCK_AHEAD: Metric = gauge(
    "quorate_cluster_time_ahead_seconds",
    &[],
    "How far cluster time is ahead of the voters' clocks, on the leader; NaN where their clocks are not known",
);
pub(crate) const IS_LEADER: Metric = gauge("quorate_raft_is_leader", &[], "1 where the node leads");
pub(crate) const TERM: Metric = gauge("quorate_raft_term", &[], "The term; it rises with every election");
pub(crate) const VOTERS: Metric = gauge("quorate_raft_voters", &[], "Members that vote");
pub(crate) const MEMBERS: Metric = gauge("quorate_raft_members", &[], "Members of the cluster");
pub(crate) const LAST_INDEX: Metric = gauge("quorate_raft_last_index", &[], "The last entry in the node's log");
pub(crate) const APPLIED_INDEX: Metric = gauge("quorate_raft_applied_index", &[], "The last entry that is applied");
pub(crate) const LAG: Metric = gauge(
    "quorate_raft_peer_lag_entries",
    &["peer"],
    "On the leader: entries that the other node does not have yet; NaN elsewhere",
);
pub(crate) const LAGS: Metric = gauge(
    "quorate_raft_peer_lags",
    &["peer"],
    "On the leader: 1 where the other node lacks more than 1000 entries, or one for more than 10 s; NaN elsewhere",
);
pub(crate) const PEER_DRAINED: Metric = gauge(
    "quorate_raft_peer_drained",
    &["peer"],
    "On the leader: 1 where the other node stops after a drain, or has; NaN elsewhere",
);
pub(crate) const VOTERS_ANSWERING: Metric =
    gauge("quorate_raft_voters_answering", &[], "On the leader: voters that answer, itself included; 0 elsewhere");
pub(crate) const VOTERS_CAUGHT_UP: Metric = gauge(
    "quorate_raft_voters_caught_up",
    &[],
    "On the leader: voters that answer and do not lag, itself included: those that can carry the quorum; 0 elsewhere",
);
pub(crate) const VOTERS_DRAINED: Metric =
    gauge("quorate_raft_voters_drained", &[], "On the leader: voters that stop after a drain, or have; 0 elsewhere");
pub(crate) const MEMBERS_DRAINED: Metric =
    gauge("quorate_raft_members_drained", &[], "On the leader: members that stop after a drain, or have; 0 elsewhere");
pub(crate) const LEADER_CHANGES: Metric =
    counter("quorate_raft_leader_changes_total", &[], "Times that the node saw another node lead than before");
pub(crate) const UNAVAILABLE: Metric =
    counter("quorate_raft_proposals_failed_total", &[], "Requests that no leader took in time");
pub(crate) const COMMIT_SECONDS: Metric = histogram(
    "quorate_raft_commit_seconds",
    LATENCIES,
    "On the leader: from the proposal of a batch until a majority has it and it is applied",
);
pub(crate) const BATCH_REQUESTS: Metric = histogram(
    "quorate_raft_batch_requests",
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0],
    "On the leader: requests in one entry",
);
pub(crate) const FSYNC_SECONDS: Metric =
    histogram("quorate_store_fsync_seconds", LATENCIES, "How long the disk takes to make a batch of writes durable");
pub(crate) const STORE_BYTES: Metric =
    gauge("quorate_store_bytes", &[], "Size of the store on disk; NaN where the disk does not say");
pub(crate) const STORE_BLOBS: Metric =
    gauge("quorate_store_unsynced_pages", &[], "Pages that were never made durable: replace a node that has any");
pub(crate) const DATA_SIZE: Metric =
    gauge("quorate_data_size_bytes", &[], "Size of the file system with the node's data; NaN where it does not say");
pub(crate) const DATA_FREE: Metric = gauge(
    "quorate_data_free_bytes",
    &[],
    "What the node may still write there; NaN where the file system does not say",
);
pub(crate) const SNAPSHOT_INDEX: Metric =
    gauge("quorate_snapshot_index", &[], "The last entry in the newest snapshot; 0 before the first");
pub(crate) const SNAPSHOT_AGE: Metric =
    gauge("quorate_snapshot_age_seconds", &[], "Age of the newest snapshot; 0 before the first");
pub(crate) const DIVERGED: Metric = gauge(
    "quorate_state_diverged",
    &[],
    "1 where the node's state differs from the majority's: `quorate cluster rejoin`",
);
pub(crate) const QUARANTINED: Metric = gauge(
    "quorate_quarantined",
    &[],
    "1 where the node takes no part: its disk went back in time, or it is a copy; replace the node",
);
pub(crate) const ROUND_TRIP: Metric = gauge(
    "quorate_peer_round_trip_seconds",
    &["peer"],
    "The median of the last round trips from the node to each other one; NaN where too few are known",
);
pub(crate) const ROUND_TRIP_MAX: Metric = gauge(
    "quorate_peer_round_trip_limit_seconds",
    &[],
    "The longest round trip between two nodes that the node's settings bear (raft.profile)",
);

pub(crate) const DNS_AGE: Metric =
    gauge("quorate_dns_published_age_seconds", &["domain"], "Time since the node's records were last in order there");
pub(crate) const DNS_FAILED: Metric =
    gauge("quorate_dns_failed", &["domain"], "1 where the last attempt to publish the node's records failed");
pub(crate) const DNS_FOREIGN: Metric = gauge(
    "quorate_dns_foreign_records",
    &["domain"],
    "Records under the cluster's name that belong to no member, as the node saw them that looks",
);
pub(crate) const ACTIVATED: Metric =
    gauge("quorate_activated", &["publisher", "group"], "1 for each product group for which the node is activated");
pub(crate) const KEY_USED: Metric = gauge(
    "quorate_key_hosts_used",
    &["publisher", "key"],
    "Hosts that are activated with the key, as the publisher said last",
);
pub(crate) const KEY_LIMIT: Metric =
    gauge("quorate_key_hosts_limit", &["publisher", "key"], "Hosts that the key is good for");
pub(crate) const HOST_CERTIFICATE_ENDS: Metric = gauge(
    "quorate_host_certificate_expires_timestamp_seconds",
    &["publisher", "key"],
    "When the certificate ends with which the node answers clients; +Inf where it does not end, NaN where there is none",
);
pub(crate) const HOST_CERTIFICATE_DUE: Metric = gauge(
    "quorate_host_certificate_renewal_timestamp_seconds",
    &["publisher", "key"],
    "From when on that certificate is to be renewed; +Inf where it does not end, NaN where there is none",
);
pub(crate) const CERTIFICATE_ENDS: Metric = gauge(
    "quorate_certificate_expires_timestamp_seconds",
    &[],
    "When the certificate ends that the node shows to the others",
);

/// All metrics, in the order of the page.
pub const METRICS: &[Metric] = &[
    BUILD_INFO,
    READY,
    DRAINING,
    FORMAT,
    COUNT,
    CACHE_LIMIT,
    CACHE_OLDEST,
    CACHE_EXPIRING,
    UNRENEWED,
    THRESHOLD,
    FALLS_BELOW,
    FALLS_BELOW_BY_TREND,
    REQUESTS,
    REQUEST_SECONDS,
    SKEW,
    OTHER_MACHINE,
    NEW_CMIDS,
    NEW_CMIDS_REFUSED,
    DISTINCT,
    DUPLICATES,
    CONNECTIONS,
    CONNECTIONS_OPEN,
    CONNECTIONS_REFUSED,
    CONNECTIONS_EVICTED,
    ENROLMENTS_REFUSED,
    CLIENT_FAULTS,
    FOREIGN_CONNECTIONS,
    ACTIVATIONS_LOST,
    ACTIVATIONS_LEFT_OUT,
    LOG_LEFT_OUT,
    LOG_DROPPED,
    LEADER_KNOWN,
    CLOCK_ALARM,
    CLOCK_AHEAD,
    IS_LEADER,
    TERM,
    VOTERS,
    MEMBERS,
    LAST_INDEX,
    APPLIED_INDEX,
    LAG,
    LAGS,
    PEER_DRAINED,
    VOTERS_ANSWERING,
    VOTERS_CAUGHT_UP,
    VOTERS_DRAINED,
    MEMBERS_DRAINED,
    LEADER_CHANGES,
    UNAVAILABLE,
    COMMIT_SECONDS,
    BATCH_REQUESTS,
    FSYNC_SECONDS,
    STORE_BYTES,
    STORE_BLOBS,
    DATA_SIZE,
    DATA_FREE,
    SNAPSHOT_INDEX,
    SNAPSHOT_AGE,
    DIVERGED,
    QUARANTINED,
    ROUND_TRIP,
    ROUND_TRIP_MAX,
    DNS_AGE,
    DNS_FAILED,
    DNS_FOREIGN,
    ACTIVATED,
    KEY_USED,
    KEY_LIMIT,
    HOST_CERTIFICATE_ENDS,
    HOST_CERTIFICATE_DUE,
    CERTIFICATE_ENDS,
];

/// The table of metrics in `docs/observability.md`.
pub fn markdown() -> String {
    let mut text = "| metric | kind | labels | what it says |\n|---|---|---|---|\n".to_owned();
    for Metric { name, kind, labels, help } in METRICS {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let _into_a_string = writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_told_apart_and_keep_the_rules() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for Metric { name, kind, labels, help } in METRICS {
            assert!(name.starts_with("quorate_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(!labels.iter().any(|label| label.contains("cmid") || label.contains("machine")), "{name}");
            assert!(!help.ends_with('.') && !help.contains('|'), "{name}");
        }
    }

    #[test]
    fn the_guide_shows_the_table_as_it_is() {
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/observability.md");
        let text = std::fs::read_to_string(guide).unwrap();
        assert!(text.contains(&markdown()), "docs/observability.md lacks this table:\n{}", markdown());
    }
}
