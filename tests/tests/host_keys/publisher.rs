//! The publisher of a cluster, and the listing of its keys.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use quorate_tests::{CATALOG, Cluster, Finished, Plan, Quorate, eventually, words};
use serde_json::Value;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

/// A publisher in a subfolder of the cluster's folder.
pub(super) struct Publisher<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) folder: &'static str,
}

impl<'a> Publisher<'a> {
    /// The publisher that every cluster has; installs its catalog on the cluster.
    pub(super) async fn of(cluster: &'a Cluster) -> Self {
        let publisher = Self { cluster, folder: "publisher" };
        publisher.install_catalog(CATALOG.as_ref()).await;
        publisher
    }

    /// Makes another publisher with this name.
    pub(super) async fn another(cluster: &'a Cluster, folder: &'static str, name: &str) -> Self {
        let publisher = Self { cluster, folder };
        quorate().json(words!["publisher", "init", "--dir", publisher.path()]).await;
        let text = fs::read_to_string(CATALOG).unwrap();
        let line = text.lines().find(|line| line.starts_with("publisher = ")).unwrap().to_owned();
        let source = cluster.path("another.toml");
        fs::write(&source, text.replacen(&line, &format!("publisher = {name:?}"), 1)).unwrap();
        publisher.install_catalog(&source).await;
        publisher
    }

    pub(super) async fn install_catalog(&self, source: &Path) {
        let signed = self.path().with_extension("signed");
        let sign = words!["publisher", "catalog", "sign", "--dir", self.path(), source, "--out", &signed, "--force"];
        let fingerprint = text(&quorate().json(sign).await, "/fingerprint");
        self.cluster.administrate(1, &words!["catalog", "install", &signed, "--trust", &fingerprint]).await;
    }

    pub(super) fn path(&self) -> PathBuf {
        self.cluster.path(self.folder)
    }

    pub(super) async fn issue(&self, more: &[&str]) -> String {
        let mut issue = words!["publisher", "key", "issue", "--dir", self.path(), "--group", "server-b"].to_vec();
        issue.extend(more.iter().map(OsString::from));
        text(&quorate().json(issue).await, "/key")
    }

    /// Issues a new key and installs it on the cluster; returns its id.
    pub(super) async fn install_key(&self, more: &[&str]) -> String {
        let key = self.issue(more).await;
        let trust = fs::read_to_string(self.path().join("trust.toml")).unwrap();
        let id = activation::trust::Trust::from_toml(&trust).unwrap().publisher.to_string();
        let install = words!["key", "install", &key, "--publisher", &id, "--yes"];
        text(&self.cluster.administrate(1, &install).await, "/key_id")
    }

    /// The publisher's step of the offline activation.
    pub(super) async fn answer(&self, request: &Path, answer: &Path) -> Finished {
        let dir = self.path();
        let exchange = words!["publisher", "activate", "--dir", &dir, "--request", request, "--out", answer, "--force"];
        quorate().run(exchange).await
    }

    /// The whole offline activation; returns what the cluster installed.
    pub(super) async fn activate(&self, more: &[&str]) -> Value {
        let [request, answer] = ["request.bin", "answer.bin"].map(|name| self.cluster.path(name));
        let mut ask = words!["key", "activate", "--offline", &request, "--force"].to_vec();
        ask.extend(more.iter().map(OsString::from));
        self.cluster.administrate(1, &ask).await;
        let answered = self.answer(&request, &answer).await;
        assert_eq!(answered.code, Some(0), "{}", answered.stderr);
        self.cluster.administrate(1, &words!["key", "activate", "--answer", &answer]).await
    }
}

pub(super) fn quorate() -> Quorate {
    Quorate::at(QUORATE)
}

pub(super) fn text(value: &Value, pointer: &str) -> String {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("{value} has no text at {pointer}")).to_owned()
}

pub(super) async fn formed(nodes: u8) -> Cluster {
    let mut cluster = Cluster::configured(&quorate(), Plan::of(nodes)).await;
    cluster.form().await;
    cluster
}

/// State and remaining reactivations of every node, for the key with this id.
pub(super) async fn listed(cluster: &Cluster, key: &str) -> Vec<(u64, String, Option<u64>)> {
    let list = cluster.administrate(1, &words!["key", "list"]).await;
    let keys = list["keys"].as_array().unwrap();
    let key = keys.iter().find(|listed| listed["key_id"] == key).unwrap_or_else(|| panic!("{key} is not in {list}"));
    let places = key["activations"].as_array().unwrap().iter();
    places
        .map(|place| (place["node"].as_u64().unwrap(), text(place, "/state"), place["reactivations_left"].as_u64()))
        .collect()
}

/// Waits until `key list` shows this state of a node and the key: the node reads an answer after it was installed.
pub(super) async fn becomes(cluster: &Cluster, key: &str, node: u64, state: &str, reactivations_left: u64) {
    let expected = (node, state.to_owned(), Some(reactivations_left));
    eventually("the node takes note", async || listed(cluster, key).await.contains(&expected).then_some(())).await;
}
