//! The dashboard for Grafana: a real Prometheus that scrapes real nodes has data for all of its queries.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use host::metrics::METRICS;
use quorate_tests::{Cluster, Named, PROMETHEUS_FILES, Plan, Prometheus, Quorate, cmid, eventually};
use serde_json::Value;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const DASHBOARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana/quorate.json");
/// A product with threshold 5.
const PRODUCT: &str = "server-standard-2";

/// Series that the dashboard does not show, because another panel shows the same information.
const UNUSED: [&str; 21] = [
    // An alert uses it; a panel shows when the certificate expires.
    "quorate_host_certificate_renewal_timestamp_seconds",
    // Alerts use these two, to stay silent about drained nodes.
    "quorate_raft_peer_drained",
    "quorate_raft_members_drained",
    "quorate_raft_voters_drained",
    // A panel shows the lag itself.
    "quorate_raft_peer_lags",
    // A panel shows the alarm that follows from it.
    "quorate_cluster_time_ahead_seconds",
    // A panel shows the number of entries since the snapshot.
    "quorate_snapshot_age_seconds",
    // A panel shows how many machines expire within some days.
    "quorate_cache_oldest_seconds",
    // The cache limit is far above any threshold.
    "quorate_cache_limit",
    // These are counted among the refusals, as 0xC004F039.
    "quorate_raft_proposals_failed_total",
    // The gateway's series exist only where upstreams are configured; `quorate gateway status` shows them.
    "quorate_gateway_upstream_healthy",
    "quorate_gateway_upstream_preferred",
    "quorate_gateway_associations_open",
    "quorate_gateway_associations_total",
    "quorate_gateway_ended_total",
    "quorate_gateway_requests_total",
    "quorate_gateway_failures_total",
    "quorate_gateway_bytes_total",
    "quorate_gateway_bind_seconds",
    "quorate_gateway_mirrored_total",
    "quorate_gateway_last_request_age_seconds",
];

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(DASHBOARD).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "/panels").iter().filter(|panel| panel["type"] != "row")
}

/// Replaces the dashboard's variables by values, as Grafana does.
fn substituted(expression: &str) -> String {
    let mut expression = expression.to_owned();
    for (variable, value) in
        [("$__rate_interval", "5s"), ("$cluster", "quorate"), ("$publisher", ".*"), ("$application", ".*")]
    {
        expression = expression.replace(variable, value);
    }
    assert!(!expression.contains('$'), "{expression} has a variable that nobody set");
    expression
}

/// All expressions of the dashboard, by the panel or variable to which they belong.
fn expressions(dashboard: &Value) -> BTreeMap<String, String> {
    let shown = panels(dashboard).flat_map(|panel| {
        let title = text(panel, "/title");
        list(panel, "/targets").iter().map(move |target| {
            assert_eq!(text(target, "/datasource/uid"), "${datasource}", "{title}");
            (format!("{title} {}", text(target, "/refId")), substituted(text(target, "/expr")))
        })
    });
    let variables = list(dashboard, "/templating/list").iter().filter(|variable| variable["type"] == "query");
    let chosen = variables.map(|variable| {
        let query = text(variable, "/query/query");
        assert_eq!(query, text(variable, "/definition"));
        let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (series, label) = inside.and_then(|inside| inside.rsplit_once(", ")).unwrap();
        (format!("variable {}", text(variable, "/name")), substituted(&format!("count by ({label}) ({series})")))
    });
    shown.chain(chosen).collect()
}

#[test]
fn every_metric_is_on_the_dashboard_or_left_out_on_purpose() {
    let expressions: String = expressions(&dashboard()).into_values().collect();
    let words = expressions.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    let bare = |word: &str| {
        let suffix = ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| word.strip_suffix(suffix));
        suffix.unwrap_or(word).to_owned()
    };
    let shown: BTreeSet<String> = words.filter(|word| word.starts_with("quorate_")).map(bare).collect();
    let unused = UNUSED.map(str::to_owned);
    let told: BTreeSet<String> = shown.iter().chain(&unused).cloned().collect();
    assert_eq!(told, METRICS.iter().map(|metric| metric.name.to_owned()).collect());
    assert!(!unused.iter().any(|name| shown.contains(name)), "what is shown is not unused");
}

#[test]
fn every_panel_says_what_it_shows_and_leads_to_its_alerts() {
    let dashboard = dashboard();
    let alerts = fs::read_to_string(Path::new(PROMETHEUS_FILES).join("alerts.yml")).unwrap();
    let alerts: BTreeSet<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let mut linked = BTreeSet::new();
    let mut titles = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = text(panel, "/title");
        assert!(titles.insert(title), "two panels are called {title}");
        assert!(text(panel, "/description").ends_with('.'), "{title} has no description");
        assert!(
            !list(panel, "/targets").is_empty() && panel.pointer("/fieldConfig/defaults/unit").is_some(),
            "{title}"
        );
        for link in list(panel, "/links") {
            let named = text(link, "/title");
            assert_eq!(text(link, "/url"), format!("/alerting/list?search={named}"));
            assert!(alerts.contains(named), "{title} leads to {named}, which is no alert");
            linked.insert(named);
        }
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
        assert!(x + w <= 24, "{title} is too far to the right");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{title} lies on another panel");
        }
    }
    assert_eq!(linked, alerts, "every alert has a panel that shows what it is about");
    let ids: BTreeSet<_> = list(&dashboard, "/panels").iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), list(&dashboard, "/panels").len());
}

#[tokio::test]
async fn every_expression_of_the_dashboard_gives_numbers_while_machines_ask() {
    let named = Named::start(3, "").await;
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    named.publishes(&mut cluster);
    for node in 1..=3 {
        cluster.set_variable(node, "QUORATE_TEST_DNS_WATCH_MS", "300");
    }
    cluster.set_variable(1, "QUORATE_TEST_DNS_WATCH_MS", "300");
    cluster.form().await;
    cluster.activate().await;
    cluster.settled(1).await;
    let product = cluster.product(PRODUCT);
    for machine in 1..=6 {
        product.count(cluster.node(machine % 3 + 1).clients, machine).await;
    }
    let prometheus = Prometheus::of(&cluster).await;
    for (place, expression) in expressions(&dashboard()) {
        eventually(&format!("{place} gives a number: {expression}"), async || {
            // One machine that is answered, and one whose clock is wrong.
            product.count(cluster.node(1).clients, 1).await;
            let mut late = product.request(cmid(7));
            late.client_time_ms -= 5 * 3_600_000;
            assert!(product.send(cluster.node(2).clients, &late).await.is_err());
            let answers = prometheus.ask(&expression).await;
            let is_number =
                |answer: &&Value| text(answer, "/value/1").parse::<f64>().is_ok_and(|value| !value.is_nan());
            answers.iter().find(is_number).map(|_| ())
        })
        .await;
    }
}
