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

const UPSTREAM: &[&str] = &["group", "upstream"];
const COUNTED: &[&str] = &["publisher", "application"];
const PRODUCT: &[&str] = &["publisher", "application", "product", "group"];

pub(crate) const BUILD_INFO: Metric = gauge("quorate_build_info", &["version"], "Always 1; the version of the program");
pub(crate) const READY: Metric =
    gauge("quorate_ready", &[], "1 if the node is ready to answer clients, as /readyz reports");
pub(crate) const DRAINING: Metric = gauge("quorate_draining", &[], "1 if the node is draining");
pub(crate) const FORMAT: Metric = gauge("quorate_format", &[], "The format that the cluster writes");

pub(crate) const COUNT: Metric =
    gauge("quorate_counted_machines", COUNTED, "The count of the application: CMIDs with a request within 30 days");
pub(crate) const CACHE_LIMIT: Metric =
    gauge("quorate_cache_limit", COUNTED, "Maximum number of CMIDs in the count; 0 before the first request");
pub(crate) const CACHE_OLDEST: Metric =
    gauge("quorate_cache_oldest_seconds", COUNTED, "Time since the oldest request that still counts");
pub(crate) const CACHE_EXPIRING: Metric = gauge(
    "quorate_cache_expiring",
    &["publisher", "application", "days"],
    "Machines that expire from the count within so many days unless they renew",
);
pub(crate) const UNRENEWED: Metric = gauge(
    "quorate_unrenewed_machines",
    COUNTED,
    "Counted machines whose last request is at least one day older than the renewal interval",
);
pub(crate) const THRESHOLD: Metric =
    gauge("quorate_threshold", PRODUCT, "The count from which on the product's machines are activated");
pub(crate) const FALLS_BELOW: Metric = gauge(
    "quorate_falls_below_timestamp_seconds",
    PRODUCT,
    "When the count falls below the threshold if no machine renews from now on; 0 if it is below already",
);
pub(crate) const FALLS_BELOW_BY_TREND: Metric = gauge(
    "quorate_falls_below_by_trend_timestamp_seconds",
    PRODUCT,
    "The same if the machines that sent a request within 7 days keep renewing; 0 if it is below already, +Inf if it \
     stays above",
);

pub(crate) const REQUESTS: Metric = counter(
    "quorate_requests_total",
    &["group", "result", "status"],
    "Requests by the product group that they need, result, and HRESULT of the response",
);
pub(crate) const REQUEST_SECONDS: Metric =
    histogram("quorate_request_seconds", LATENCIES, "From a request's last byte to its response");
pub(crate) const SKEW: Metric = histogram(
    "quorate_client_clock_skew_seconds",
    SKEWS,
    "How far the clocks of client machines are ahead of cluster time",
);
pub(crate) const OTHER_MACHINE: Metric = counter(
    "quorate_duplicate_cmid_requests_total",
    &[],
    "Requests with a CMID that another machine used before: copied machines, or changed hardware",
);

pub(crate) const NEW_CMIDS: Metric = counter(
    "quorate_new_cmids_total",
    &[],
    "Requests that added a CMID to a count: new machines, and machines that had expired from it",
);
pub(crate) const NEW_CMIDS_REFUSED: Metric = counter(
    "quorate_new_cmids_refused_total",
    &[],
    "Requests with such CMIDs that were refused: more from one source than clients.new_cmids_per_minute",
);

pub(crate) const DISTINCT: Metric = gauge(
    "quorate_distinct_machines",
    &["days"],
    "Machines with a request to any node within so many days, and up to six hours more: an estimate with an error of \
     about 2 %",
);
pub(crate) const DUPLICATES: Metric = gauge(
    "quorate_duplicate_cmids",
    &[],
    "CMIDs, among those that this node remembers, that several machines use: `quorate duplicates` names them",
);

pub(crate) const CONNECTIONS: Metric = counter("quorate_connections_total", &[], "Connections of clients");
pub(crate) const CONNECTIONS_OPEN: Metric = gauge("quorate_connections_open", &[], "Open connections of clients");
pub(crate) const CONNECTIONS_REFUSED: Metric = counter(
    "quorate_connections_refused_total",
    &["port", "limit"],
    "Connections refused on a port: network (the port's allow list lacks it), source (all its connections have a call under way) or system (no descriptor is left)",
);
pub(crate) const CONNECTIONS_EVICTED: Metric = counter(
    "quorate_connections_evicted_total",
    &["port"],
    "Idle connections that were closed on a port to admit new ones, of the source with the most",
);
pub(crate) const ENROLMENTS_REFUSED: Metric = counter(
    "quorate_enrolments_refused_total",
    &[],
    "Join tokens that the node refused: unknown, used already, expired, or too many wrong ones from a source",
);
pub(crate) const CLIENT_FAULTS: Metric = counter(
    "quorate_client_faults_total",
    &["kind"],
    "Clients that violated the protocol, timed out, or sent a malformed request",
);

pub(crate) const FOREIGN_CONNECTIONS: Metric = counter(
    "quorate_foreign_connections_total",
    &["kind"],
    "Connections to port 1688 that are not from clients: closed without a byte (health checks), TLS, HTTP, a PROXY \
     header",
);

pub(crate) const ACTIVATIONS_LOST: Metric = counter(
    "quorate_activation_log_lost_total",
    &[],
    "Answered requests that could not be written to the activation log: the disk is full or too slow",
);
pub(crate) const ACTIVATIONS_LEFT_OUT: Metric = counter(
    "quorate_activation_log_left_out_total",
    &[],
    "Refused requests that were not written to the activation log: more than 10 from one source in a minute",
);
pub(crate) const LOG_LEFT_OUT: Metric = counter(
    "quorate_log_lines_left_out_total",
    &[],
    "Log lines suppressed since the process started: too many of a kind, or about one source, in a second",
);
pub(crate) const LOG_DROPPED: Metric = counter(
    "quorate_log_lines_dropped_total",
    &[],
    "Log lines dropped since the process started: the reader of the log is too slow or has stopped, or its disk is \
     full",
);
pub(crate) const LEADER_KNOWN: Metric = gauge(
    "quorate_raft_leader_known",
    &[],
    "1 if the node knows a leader that a majority confirmed within the last seconds",
);
pub(crate) const CLOCK_ALARM: Metric = gauge(
    "quorate_clock_alarm",
    &[],
    "On the leader: 1 if the nodes' clocks jumped without confirmation, or if cluster time is ahead of them",
);
pub(crate) const CLOCK_AHEAD: Metric = gauge(
    "quorate_cluster_time_ahead_seconds",
    &[],
    "How far cluster time is ahead of the voters' clocks, on the leader; NaN where their clocks are not known",
);
pub(crate) const IS_LEADER: Metric = gauge("quorate_raft_is_leader", &[], "1 if the node is the leader");
pub(crate) const TERM: Metric = gauge("quorate_raft_term", &[], "The Raft term; it rises with every election");
pub(crate) const VOTERS: Metric = gauge("quorate_raft_voters", &[], "Number of voters");
pub(crate) const MEMBERS: Metric = gauge("quorate_raft_members", &[], "Number of members");
pub(crate) const LAST_INDEX: Metric =
    gauge("quorate_raft_last_index", &[], "Index of the last entry in the node's log");
pub(crate) const APPLIED_INDEX: Metric = gauge("quorate_raft_applied_index", &[], "Index of the last applied entry");
pub(crate) const LAG: Metric = gauge(
    "quorate_raft_peer_lag_entries",
    &["peer"],
    "On the leader: lag of the other node, in entries; NaN elsewhere",
);
pub(crate) const LAGS: Metric = gauge(
    "quorate_raft_peer_lags",
    &["peer"],
    "On the leader: 1 if the other node lags by more than 1000 entries, or by any entry for more than 10 s; NaN \
     elsewhere",
);
pub(crate) const PEER_DRAINED: Metric = gauge(
    "quorate_raft_peer_drained",
    &["peer"],
    "On the leader: 1 if the other node was drained, and is stopping or has stopped; NaN elsewhere",
);
pub(crate) const VOTERS_ANSWERING: Metric =
    gauge("quorate_raft_voters_answering", &[], "On the leader: voters that respond, itself included; 0 elsewhere");
pub(crate) const VOTERS_CAUGHT_UP: Metric = gauge(
    "quorate_raft_voters_caught_up",
    &[],
    "On the leader: voters that respond and do not lag, itself included: those that can form the quorum; 0 elsewhere",
);
pub(crate) const VOTERS_DRAINED: Metric = gauge(
    "quorate_raft_voters_drained",
    &[],
    "On the leader: voters that were drained, and are stopping or have stopped; 0 elsewhere",
);
pub(crate) const MEMBERS_DRAINED: Metric = gauge(
    "quorate_raft_members_drained",
    &[],
    "On the leader: members that were drained, and are stopping or have stopped; 0 elsewhere",
);
pub(crate) const LEADER_CHANGES: Metric =
    counter("quorate_raft_leader_changes_total", &[], "Leader changes that the node observed");
pub(crate) const UNAVAILABLE: Metric =
    counter("quorate_raft_proposals_failed_total", &[], "Requests that no leader committed in time");
pub(crate) const COMMIT_SECONDS: Metric = histogram(
    "quorate_raft_commit_seconds",
    LATENCIES,
    "On the leader: from the proposal of a batch until it is committed and applied",
);
pub(crate) const BATCH_REQUESTS: Metric = histogram(
    "quorate_raft_batch_requests",
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0],
    "On the leader: requests in one log entry",
);
pub(crate) const FSYNC_SECONDS: Metric = histogram(
    "quorate_store_fsync_seconds",
    LATENCIES,
    "Time that the disk takes to make a batch of writes durable (fsync latency)",
);
pub(crate) const STORE_BYTES: Metric =
    gauge("quorate_store_bytes", &[], "Size of the store on disk; NaN if it cannot be read");
pub(crate) const STORE_BLOBS: Metric =
    gauge("quorate_store_unsynced_pages", &[], "Pages that were never made durable: replace a node that has any");
pub(crate) const DATA_SIZE: Metric =
    gauge("quorate_data_size_bytes", &[], "Size of the file system with the node's data; NaN if it cannot be read");
pub(crate) const DATA_FREE: Metric =
    gauge("quorate_data_free_bytes", &[], "Free space there that the node may use; NaN if it cannot be read");
pub(crate) const SNAPSHOT_INDEX: Metric =
    gauge("quorate_snapshot_index", &[], "Index of the last entry in the newest snapshot; 0 before the first");
pub(crate) const SNAPSHOT_AGE: Metric =
    gauge("quorate_snapshot_age_seconds", &[], "Age of the newest snapshot; 0 before the first");
pub(crate) const DIVERGED: Metric = gauge(
    "quorate_state_diverged",
    &[],
    "1 if the node's state differs from the majority's: run `quorate cluster rejoin`",
);
pub(crate) const QUARANTINED: Metric = gauge(
    "quorate_quarantined",
    &[],
    "1 if the node is quarantined: its disk went back in time, or it is a copy; replace the node",
);
pub(crate) const ROUND_TRIP: Metric = gauge(
    "quorate_peer_round_trip_seconds",
    &["peer"],
    "The median of the last round trips from the node to each other node; NaN if too few are known",
);
pub(crate) const ROUND_TRIP_MAX: Metric = gauge(
    "quorate_peer_round_trip_limit_seconds",
    &[],
    "The longest round trip between two nodes that the node's election timeouts tolerate (raft.profile)",
);

pub(crate) const DNS_AGE: Metric = gauge(
    "quorate_dns_published_age_seconds",
    &["domain"],
    "Time since the node's records were last confirmed up to date there",
);
pub(crate) const DNS_FAILED: Metric =
    gauge("quorate_dns_failed", &["domain"], "1 if the last attempt to publish the node's records failed");
pub(crate) const DNS_FOREIGN: Metric = gauge(
    "quorate_dns_foreign_records",
    &["domain"],
    "Records under the cluster's name that belong to no member, as seen by the node that checks them",
);
pub(crate) const ACTIVATED: Metric =
    gauge("quorate_activated", &["publisher", "group"], "1 for each product group for which the node is activated");
pub(crate) const KEY_USED: Metric = gauge(
    "quorate_key_hosts_used",
    &["publisher", "key"],
    "Hosts that are activated with the key, as the publisher last reported",
);
pub(crate) const KEY_LIMIT: Metric =
    gauge("quorate_key_hosts_limit", &["publisher", "key"], "Hosts that the key can activate");
pub(crate) const HOST_CERTIFICATE_ENDS: Metric = gauge(
    "quorate_host_certificate_expires_timestamp_seconds",
    &["publisher", "key"],
    "When the node's host certificate for the key expires; +Inf if it does not expire, NaN if there is none",
);
pub(crate) const HOST_CERTIFICATE_DUE: Metric = gauge(
    "quorate_host_certificate_renewal_timestamp_seconds",
    &["publisher", "key"],
    "From when on that certificate is due for renewal; +Inf if it does not expire, NaN if there is none",
);
pub(crate) const CERTIFICATE_ENDS: Metric =
    gauge("quorate_certificate_expires_timestamp_seconds", &[], "When the node's certificate expires");

pub(crate) const GATEWAY_HEALTHY: Metric = gauge(
    "quorate_gateway_upstream_healthy",
    UPSTREAM,
    "1 if the upstream answers binds of this node's gateway; NaN where it is not configured any more",
);
pub(crate) const GATEWAY_PREFERRED: Metric =
    gauge("quorate_gateway_upstream_preferred", UPSTREAM, "1 if the group prefers this upstream");
pub(crate) const GATEWAY_OPEN: Metric =
    gauge("quorate_gateway_associations_open", UPSTREAM, "Associations that are forwarded to the upstream now");
pub(crate) const GATEWAY_ASSOCIATIONS: Metric =
    counter("quorate_gateway_associations_total", UPSTREAM, "Associations whose bind the upstream answered");
pub(crate) const GATEWAY_ENDED: Metric =
    counter("quorate_gateway_ended_total", &["ending"], "Forwarded associations that ended, by how");
pub(crate) const GATEWAY_REQUESTS: Metric =
    counter("quorate_gateway_requests_total", &["upstream"], "Requests that the upstream answered");
pub(crate) const GATEWAY_FAILURES: Metric = counter(
    "quorate_gateway_failures_total",
    &["upstream", "kind"],
    "Associations with the upstream, or attempts to get one, that failed",
);
pub(crate) const GATEWAY_BYTES: Metric =
    counter("quorate_gateway_bytes_total", &["direction"], "Bytes of forwarded associations, counted when they end");
pub(crate) const GATEWAY_BIND_SECONDS: Metric = histogram(
    "quorate_gateway_bind_seconds",
    LATENCIES,
    "Time from the connection to an upstream to its answer to a client's bind",
);
pub(crate) const GATEWAY_MIRRORED: Metric = counter(
    "quorate_gateway_mirrored_total",
    &["upstream", "result"],
    "Requests for a mirror: answered by it, or dropped because it was slow, failing or full",
);
pub(crate) const GATEWAY_SILENCE: Metric = gauge(
    "quorate_gateway_last_request_age_seconds",
    &[],
    "Time since an upstream answered a request through this node; NaN before the first",
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
    GATEWAY_HEALTHY,
    GATEWAY_PREFERRED,
    GATEWAY_OPEN,
    GATEWAY_ASSOCIATIONS,
    GATEWAY_ENDED,
    GATEWAY_REQUESTS,
    GATEWAY_FAILURES,
    GATEWAY_BYTES,
    GATEWAY_BIND_SECONDS,
    GATEWAY_MIRRORED,
    GATEWAY_SILENCE,
];

/// The table of metrics in `docs/observability.md`.
pub fn markdown() -> String {
    let mut text = "| metric | kind | labels | meaning |\n|---|---|---|---|\n".to_owned();
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
    fn metric_names_are_distinct_and_follow_the_naming_rules() {
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
