//! A real Prometheus with the project's own files, in which the waiting times are shortened.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::Value;
use tokio::process::Command;

use crate::{Cluster, Process, eventually, free_port, page};

/// Folder of the project's own configuration and alerts.
pub const PROMETHEUS_FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus");

/// Waiting times of the alerts in the project's files; the tests replace them by one second.
const PAUSES: [&str; 7] = ["30s", "1m", "2m", "5m", "10m", "15m", "1h"];

/// A Prometheus that scrapes the nodes of a cluster.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _process: Process,
}

impl Prometheus {
    /// Starts a Prometheus with the project's own files; only addresses and waiting times differ.
    pub async fn of(cluster: &Cluster) -> Self {
        Self::with(cluster, &[]).await
    }

    /// Starts a Prometheus with these words of the alerts replaced; each word must occur.
    pub async fn with(cluster: &Cluster, replaced: &[(&str, &str)]) -> Self {
        let folder = cluster.path("prometheus");
        fs::create_dir_all(&folder).expect("a test's own folder takes another");
        let read = |name: &str| fs::read_to_string(Path::new(PROMETHEUS_FILES).join(name)).expect("it is a text");
        let targets = cluster.numbers().into_iter().map(|node| format!("\"{}\"", cluster.node(node).metrics));
        let targets = targets.collect::<Vec<_>>().join(", ");
        let own = r#""node1.example.com:9688", "node2.example.com:9688", "node3.example.com:9688""#;
        // A scrape may take as long as the interval between two scrapes, because a busy node needs some time.
        let configuration = read("prometheus.yml").replace(own, &targets).replace("15s", "1s");
        assert!(configuration.contains(&targets) && configuration.contains("scrape_interval: 1s"));
        fs::write(folder.join("prometheus.yml"), configuration).expect("a folder takes a file");
        let mut alerts = read("alerts.yml");
        for pause in PAUSES {
            alerts = alerts.replace(&format!("for: {pause}\n"), "for: 1s\n");
        }
        for (words, others) in replaced {
            assert!(alerts.contains(words), "no alert says {words}");
            alerts = alerts.replace(words, others);
        }
        fs::write(folder.join("alerts.yml"), alerts).expect("a folder takes a file");
        let address = free_port(cluster.loopback().address(15));
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"));
        let process = Process::start(&mut command, &folder.join("log"));
        let prometheus = Self { address, _process: process };
        eventually("Prometheus is ready (Debian: prometheus)", async || {
            page(address, "/-/ready").await.filter(|(status, _)| *status == 200)
        })
        .await;
        prometheus
    }

    /// The result of an expression: one value for each set of labels; empty where there is none.
    ///
    /// # Panics
    /// When the expression is invalid.
    pub async fn ask(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (_, text) = page(self.address, &format!("/api/v1/query?query={encoded}")).await.expect("it answers");
        let answer: Value = serde_json::from_str(&text).expect("it answers in JSON");
        let result = answer.pointer("/data/result").and_then(Value::as_array);
        result.unwrap_or_else(|| panic!("{expression}: {answer}")).clone()
    }

    /// Whether an alert fires now.
    pub async fn fires(&self, name: &str) -> bool {
        !self.ask(&format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}")).await.is_empty()
    }

    /// Waits until an alert fires, or until it does not fire any more.
    pub async fn alert(&self, name: &str, fires: bool) {
        eventually(&format!("{name} fires: {fires}"), async || (self.fires(name).await == fires).then_some(())).await;
    }
}
