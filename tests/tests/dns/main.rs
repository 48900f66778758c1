//! Real nodes and DNS: records published on a real BIND, and a zone that the nodes serve themselves (R16 to R19, R25
//! to R29).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod clients;
mod draining;
mod failures;
mod publishing;
mod serving;

use std::path::PathBuf;

use quorate_tests::{Cluster, Named, Plan, Quorate, ZONE, eventually, words};
use serde_json::Value;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
/// Weights of nodes 1, 2 and 3 in their SRV records.
const WEIGHTS: [u16; 3] = [60, 30, 10];

struct World {
    cluster: Cluster,
    named: Named,
}

impl World {
    /// Three activated nodes with names in DNS; `key_file` returns the key with which a node signs.
    async fn new(records: &str, more: &[(&str, &str)], key_file: impl Fn(&Named, u8) -> PathBuf) -> Self {
        Self::beside(Named::start(3, records).await, more, key_file).await
    }

    /// Three activated nodes and this name server, which may not be running yet.
    async fn beside(named: Named, more: &[(&str, &str)], key_file: impl Fn(&Named, u8) -> PathBuf) -> Self {
        let quorate = Quorate::at(QUORATE);
        let mut cluster = Cluster::configured(&quorate, Plan::of(3)).await;
        for (node, weight) in (1_u8..).zip(WEIGHTS) {
            let number = u64::from(node);
            cluster.set_variable(number, "QUORATE_DNS_TARGET", format!("node{node}.{ZONE}"));
            cluster.set_variable(number, "QUORATE_DNS_KEY_FILE", key_file(&named, node));
            cluster.set_variable(number, "QUORATE_DNS_PRIMARY", named.address.to_string());
            cluster.set_variable(number, "QUORATE_DNS_RESOLVERS", named.address.to_string());
            cluster.set_variable(number, "QUORATE_DNS_WEIGHT", weight.to_string());
            for (name, value) in more {
                cluster.set_variable(number, name, *value);
            }
        }
        cluster.form().await;
        cluster.activate().await;
        Self { cluster, named }
    }

    /// The line that `dig` prints for this node's SRV record.
    fn line(&self, node: u8, weight: u16) -> String {
        format!("0 {weight} {} node{node}.{ZONE}.", self.cluster.node(node.into()).clients.port())
    }

    fn lines(&self, nodes: &[u8]) -> Vec<String> {
        let mut lines: Vec<_> = nodes.iter().map(|node| self.line(*node, WEIGHTS[usize::from(*node) - 1])).collect();
        lines.sort();
        lines
    }

    async fn stands(&self, what: &str, lines: Vec<String>) {
        eventually(what, async || (self.named.hosts().await == lines).then_some(())).await;
    }

    async fn dns(&self, words: &[&str]) -> Value {
        let mut command = words!["dns"].to_vec();
        command.extend(words.iter().map(Into::into));
        self.cluster.administrate(1, &command).await
    }

    /// Target and state of every record in `dns status`.
    async fn states(&self) -> Vec<(String, String)> {
        let status = self.dns(&["status"]).await;
        assert_eq!(status["domains"][0]["domain"], ZONE, "{status}");
        let records = status["domains"][0]["records"].as_array().unwrap();
        let text = |record: &Value, field: &str| record[field].as_str().unwrap().to_owned();
        records.iter().map(|record| (text(record, "target"), text(record, "state"))).collect()
    }
}

fn own_key(named: &Named, node: u8) -> PathBuf {
    named.key_file(node)
}

fn state(node: u8, state: &str) -> (String, String) {
    (format!("node{node}.{ZONE}."), state.to_owned())
}
