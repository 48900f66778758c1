//! The sections of the page: pure functions from gathered data to JSON. Times are milliseconds since 1970.

use std::{collections::BTreeMap, sync::Arc};

use activation::{count::CMID_LIFETIME_DAYS, status::Status};
use admin::{
    Finding, printable,
    wire::{TextEnum, activation_state, node_role, node_state, record_state},
};
use api::admin::v1::{ActivationEvent, ClusterStatusReply, CountReply, DnsStatusReply, ListKeysReply};
use serde_json::{Value, json};

/// The sections by name, each as JSON on one line.
pub(super) type Sections = BTreeMap<&'static str, Arc<str>>;

/// An application's id, and its number of machines by days since their last request.
pub(super) type Ages = (String, [u32; CMID_LIFETIME_DAYS]);

/// A sign of life of the node, with the time of its clock.
pub(super) fn pulse(node: u64, wall_ms: u64) -> Value {
    json!({ "node": node, "time_ms": wall_ms })
}

pub(super) fn nodes(cluster: &ClusterStatusReply) -> Value {
    let leader = cluster.nodes.iter().find(|node| node.node == cluster.leader);
    let last = leader.and_then(|leader| leader.match_index);
    let nodes = cluster.nodes.iter().map(|node| {
        json!({
            "id": node.node,
            "role": node_role(node).text(),
            "address": printable(&node.peer_address),
            "reachable": node.reachable,
            "ready": node.ready,
            "why": printable(&node.not_ready_because),
            "draining": node.draining,
            "state": node_state(node).text(),
            "lag": last.zip(node.match_index).map(|(last, matched)| last.saturating_sub(matched)),
            "version": printable(&node.version),
            "clock_offset_ms": node.reachable.then_some(node.clock_offset_ms),
        })
    });
    json!({
        "leader": (cluster.leader > 0).then_some(cluster.leader),
        "term": cluster.term,
        "failure_tolerance": cluster.failure_tolerance,
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

pub(super) fn counts(counts: &CountReply, ages: &[Ages]) -> Value {
    // Both lists are in the order of the state.
    let applications = counts.applications.iter().zip(ages).map(|(application, (id, ages))| {
        let products = application.products.iter().map(|product| {
            json!({
                "product": product.product,
                "group": product.group,
                "threshold": product.threshold,
                "met": product.met,
                "falls_below_ms": product.falls_below_at_ms,
                "falls_below_by_trend_ms": product.falls_below_by_trend_ms,
            })
        });
        json!({
            "id": id,
            "publisher": application.publisher,
            "application": application.application,
            "count": application.count,
            "cache_limit": application.cache_limit,
            "expiring": application.expiring,
            "ages": ages.as_slice(),
            "products": products.collect::<Vec<_>>(),
        })
    });
    applications.collect()
}

pub(super) fn keys(keys: &ListKeysReply) -> Value {
    let keys = keys.keys.iter().map(|key| {
        let nodes =
            key.activations.iter().map(|node| json!({ "node": node.node, "state": activation_state(node).text() }));
        json!({
            "key": key.masked,
            "publisher": key.publisher,
            "group": key.group,
            "hosts_used": key.standing.as_ref().map(|standing| standing.hosts_used),
            "hosts_limit": key.standing.as_ref().map(|standing| standing.hosts_limit),
            "nodes": nodes.collect::<Vec<_>>(),
        })
    });
    keys.collect()
}

/// The section of DNS. `None`: this node has no name in DNS.
pub(super) fn dns(dns: Option<&DnsStatusReply>) -> Value {
    let domain = |domain: &api::admin::v1::DnsDomain| {
        let records = domain.records.iter().map(|record| {
            json!({
                "target": printable(&record.target),
                "port": record.port,
                "priority": record.priority,
                "weight": record.weight,
                "state": record_state(record).text(),
                "stale": record.stale,
            })
        });
        json!({
            "domain": printable(&domain.domain),
            "served": domain.served,
            "error": printable(&domain.last_error),
            "records": records.collect::<Vec<_>>(),
        })
    };
    dns.map_or(Value::Null, |dns| dns.domains.iter().map(domain).collect())
}

/// The section of checks. `examined_ms`: when the slow part of the observation was made; `None` before the first
/// time.
pub(super) fn checks(findings: &[Finding], examined_ms: Option<u64>) -> Value {
    let checks = findings.iter().map(|finding| {
        json!({
            "name": finding.check,
            "state": finding.verdict.name(),
            "finding": printable(&finding.text),
            "fix": printable(finding.remedy.text()),
            "commands": finding.remedy.commands(),
        })
    });
    json!({ "checks": checks.collect::<Vec<_>>(), "examined_ms": examined_ms })
}

/// The section of activation events, newest first.
pub(super) fn events<'a>(events: impl Iterator<Item = &'a ActivationEvent>, passed_over: &[String]) -> Value {
    let events = events.map(|event| {
        let status = Status(event.status);
        let (answer, is_well) = match status {
            Status::OK if event.count >= event.required_count => ("activated".to_owned(), true),
            Status::OK | Status::BELOW_THRESHOLD => ("counted, below the threshold".to_owned(), true),
            refused => (format!("refused, {refused}: {}", refused.words()), false),
        };
        json!({
            "time_ms": event.time_ms,
            "machine": printable(&event.machine_name),
            "client_address": printable(&event.client_address),
            "product": printable(&event.product_name),
            "answer": answer,
            "well": is_well,
            "count": (event.required_count > 0).then_some(event.count),
            "required": event.required_count,
            "node": event.node,
            "other_machine": event.other_machine,
        })
    });
    let passed_over = passed_over.iter().map(|why| printable(why));
    json!({ "events": events.collect::<Vec<_>>(), "passed_over": passed_over.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_one_line_whatever_a_machine_is_called() {
        let hostile = "a\nevent: nodes\r\n\u{1b}[31m\u{202e}<script>";
        let event = ActivationEvent { machine_name: hostile.into(), status: 0xC004_F041, ..ActivationEvent::default() };
        let shown = events([&event].into_iter(), &[hostile.into()]);
        assert!(!shown.to_string().contains(['\n', '\r', '\u{1b}', '\u{202e}']), "{shown}");
        assert!(shown["events"][0]["machine"].as_str().unwrap().contains("<script>"), "it is text: {shown}");
        assert_eq!(shown["events"][0]["answer"], "refused, 0xC004F041: The host is not activated.");
        assert_eq!(shown["events"][0]["count"], Value::Null);
    }
}
