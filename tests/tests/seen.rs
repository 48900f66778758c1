//! Metrics and health checks: a real Prometheus scrapes real nodes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Stdio};

use quorate_tests::{Cluster, PROMETHEUS_FILES, Plan, Prometheus, Quorate, cmid, eventually, page, value, words};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "workstation-professional-2";

async fn metrics(cluster: &Cluster, node: u64) -> String {
    let (status, text) = page(cluster.node(node).metrics, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    text
}

async fn promtool(words: &[&str], input: Option<&str>) -> (bool, String) {
    let mut command = Command::new("promtool");
    command
        .args(words)
        .current_dir(PROMETHEUS_FILES)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("there is promtool (Debian: prometheus)");
    child.stdin.take().unwrap().write_all(input.unwrap_or_default().as_bytes()).await.unwrap();
    let done = child.wait_with_output().await.unwrap();
    let said = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    (done.status.success(), said)
}

#[tokio::test]
async fn r8_the_page_says_what_was_counted_and_promtool_has_nothing_to_say() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let product = cluster.product(PRODUCT);
    for machine in 1..=26 {
        product.count(cluster.node(machine % 3 + 1).clients, machine).await;
    }
    // Input that is no request.
    let mut rude = TcpStream::connect(cluster.node(2).clients).await.unwrap();
    rude.write_all(b"220 this is a mail server\r\n").await.unwrap();
    eventually("the node has closed on it", async || rude.read(&mut [0; 64]).await.ok().filter(|read| *read == 0))
        .await;

    let counted = r#"quorate_counted_machines{publisher="Northlight Software",application="platform"}"#;
    let answered =
        |result: &str| format!(r#"quorate_requests_total{{group="client",result="{result}",status="0x00000000"}}"#);
    let (mut below, mut activated) = (0.0, 0.0);
    for node in 1..=3 {
        let text = metrics(&cluster, node).await;
        assert_eq!(value(&text, counted), Some(26.0), "{text}");
        assert_eq!(value(&text, "quorate_ready"), Some(1.0));
        assert!(value(&text, "quorate_store_fsync_seconds_count").unwrap() > 0.0);
        below += value(&text, &answered("below_threshold")).unwrap_or(0.0);
        activated += value(&text, &answered("activated")).unwrap_or(0.0);
        let (clean, said) = promtool(&["check", "metrics"], Some(&text)).await;
        assert!(clean && said.is_empty(), "{said}");
    }
    assert_eq!((below, activated), (24.0, 2.0));
    let rude = metrics(&cluster, 2).await;
    assert_eq!(value(&rude, r#"quorate_client_faults_total{kind="protocol"}"#), Some(1.0), "{rude}");
    let leader = cluster.settled(1).await.leader.unwrap();
    // The leader contacts the other voters every second.
    let text = eventually("all voters answer the leader", async || {
        let text = metrics(&cluster, leader).await;
        (value(&text, "quorate_raft_voters_answering") == Some(3.0)).then_some(text)
    })
    .await;
    let batches = value(&text, "quorate_raft_batch_requests_sum").unwrap();
    assert_eq!(batches, 26.0, "every request was in one batch");
}

#[tokio::test]
async fn a_node_says_which_condition_of_being_ready_is_not_met() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    cluster.form().await;
    let unmet = async |cluster: &Cluster, node| -> Option<(u16, Vec<String>)> {
        let (status, text) = page(cluster.node(node).metrics, "/readyz").await?;
        let said: Value = serde_json::from_str(&text).unwrap();
        let checks = said["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
        Some((status, checks.map(|check| check["name"].as_str().unwrap().to_owned()).collect()))
    };
    assert_eq!(unmet(&cluster, 1).await, Some((503, vec!["activated".to_owned()])));
    cluster.activate().await;
    cluster.settled(1).await;
    assert_eq!(unmet(&cluster, 1).await, Some((200, Vec::new())));
    for node in [2, 3] {
        cluster.kill(node).await;
    }
    eventually("it knows no leader any more", async || {
        unmet(&cluster, 1).await.filter(|unmet| *unmet == (503, vec!["leader".to_owned()]))
    })
    .await;
    assert_eq!(page(cluster.node(1).metrics, "/livez").await, Some((200, "ok\n".to_owned())), "it lives");
    assert_eq!(page(cluster.node(1).metrics, "/nothing").await.unwrap().0, 404);
}

#[tokio::test]
async fn prometheus_scrapes_the_nodes_and_alerts_fire_and_resolve() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    cluster.product(PRODUCT).count(cluster.node(1).clients, 1).await;
    let prometheus = Prometheus::of(&cluster).await;
    let up = async || (prometheus.ask("sum(up) == 3").await.len() == 1).then_some(());
    eventually("all nodes are scraped", up).await;
    let count = prometheus.ask(r#"max by (application) (quorate_counted_machines{application="platform"})"#).await;
    assert_eq!(count[0]["value"][1], "1");

    let leader = cluster.settled(1).await.leader.unwrap();
    let other = leader % 3 + 1;
    cluster.kill(other).await;
    for alert in ["QuorateNodeDown", "QuorateOneFailureFromOutage"] {
        prometheus.alert(alert, true).await;
    }
    cluster.start(other);
    for alert in ["QuorateNodeDown", "QuorateOneFailureFromOutage"] {
        prometheus.alert(alert, false).await;
    }
    let rest: Vec<_> = (1..=3).filter(|node| *node != leader).collect();
    for &node in &rest {
        cluster.kill(node).await;
    }
    prometheus.alert("QuorateNoLeader", true).await;
    for &node in &rest {
        cluster.start(node);
    }
    prometheus.alert("QuorateNoLeader", false).await;
}

/// Replaces windows of an hour in the alerts by seconds.
const SHORTENED: [(&str, &str); 1] = [("[1h]", "[15s]")];

#[tokio::test]
async fn alerts_on_counts_clocks_leaders_and_keys_fire_and_resolve() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let product = cluster.product("server-standard-2");
    for machine in 1..=4 {
        product.count(cluster.node(1).clients, machine).await;
    }
    let prometheus = Prometheus::with(&cluster, &SHORTENED).await;
    eventually("all nodes are scraped", async || (prometheus.ask("sum(up) == 3").await.len() == 1).then_some(())).await;

    // The threshold of the product is 5.
    product.count(cluster.node(1).clients, 5).await;
    prometheus.alert("QuorateCountNearThreshold", true).await;
    product.count(cluster.node(1).clients, 6).await;
    prometheus.alert("QuorateCountNearThreshold", false).await;

    for (alert, node, machine) in [("QuorateClientClocks", 2, 7), ("QuorateDuplicateCmids", 1, 1)] {
        eventually(&format!("{alert} fires while such machines ask"), async || {
            let mut request = product.request(cmid(machine));
            match alert {
                "QuorateClientClocks" => request.client_time_ms -= 5 * 3_600_000,
                // The request comes from another machine each time.
                _ => request.machine.0 = request.nonce[..8].try_into().unwrap(),
            }
            let _refused_or_not = product.send(cluster.node(node).clients, &request).await;
            prometheus.fires(alert).await.then_some(())
        })
        .await;
        prometheus.alert(alert, false).await;
    }

    let mut leader = cluster.settled(1).await.leader.unwrap();
    eventually("QuorateLeaderChanges fires while leadership is handed on", async || {
        leader = leader % 3 + 1;
        // A node that is the leader already, or that has not caught up, refuses the transfer.
        cluster.admin(1, &words!["cluster", "transfer", "--to", leader.to_string()]).await;
        prometheus.fires("QuorateLeaderChanges").await.then_some(())
    })
    .await;
    prometheus.alert("QuorateLeaderChanges", false).await;

    // An activation slot is released, and taken again.
    let file = cluster.path("release.bin");
    cluster.administrate(1, &words!["key", "release", "--node", "3", "--offline", file, "--yes"]).await;
    prometheus.alert("QuorateNotReady", true).await;
    cluster.activate_members(1).await;
    prometheus.alert("QuorateNotReady", false).await;

    let publisher = cluster.path("publisher");
    let quorate = Quorate::at(QUORATE);
    let issue = words!["publisher", "key", "issue", "--dir", &publisher, "--group", "client", "--hosts", "4"];
    let key = quorate.json(issue).await;
    let key = |name: &str| key[name].as_str().unwrap().to_owned();
    cluster.administrate(1, &words!["key", "install", key("key"), "--yes"]).await;
    cluster.activate_members(1).await;
    prometheus.alert("QuorateKeyNearlyUsed", true).await;
    quorate.json(words!["publisher", "key", "extend", "--dir", &publisher, key("key_id"), "--hosts", "9"]).await;
    let [request, answer] = ["request.bin", "answer.bin"].map(|name| cluster.path(name));
    let ask = words!["key", "activate", "--node", "1", "--key", key("key_id"), "--offline", &request, "--force"];
    cluster.administrate(1, &ask).await;
    let mut exchange = words!["publisher", "activate", "--dir", &publisher, "--request", &request].to_vec();
    exchange.extend(words!["--out", &answer, "--force"]);
    quorate.json(exchange).await;
    cluster.administrate(1, &words!["key", "activate", "--answer", &answer]).await;
    prometheus.alert("QuorateKeyNearlyUsed", false).await;

    let leader = cluster.settled(1).await.leader.unwrap();
    let silent = leader % 3 + 1;
    cluster.kill(silent).await;
    for machine in 10..20 {
        product.count(cluster.node(leader).clients, machine).await;
    }
    prometheus.alert("QuorateNodeLags", true).await;
    cluster.start(silent);
    prometheus.alert("QuorateNodeLags", false).await;
}

#[tokio::test]
async fn every_alert_fires_under_its_condition_and_not_before() {
    let (fine, said) = promtool(&["test", "rules", "alerts_test.yml"], None).await;
    assert!(fine, "{said}");
    let (fine, said) = promtool(&["check", "config", "prometheus.yml"], None).await;
    assert!(fine, "{said}");
    let text = |name: &str| fs::read_to_string(Path::new(PROMETHEUS_FILES).join(name)).unwrap();
    let (alerts, tests) = (text("alerts.yml"), text("alerts_test.yml"));
    let names: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 15);
    for name in names {
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} has no test");
    }
}

#[tokio::test]
async fn a_count_says_when_it_falls_below_each_threshold() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let product = cluster.product("server-standard-2");
    for machine in 1..=6 {
        product.count(cluster.node(1).clients, machine).await;
    }
    let reply = cluster.administrate(1, &words!["count", "--application", "platform"]).await;
    let application = &reply["applications"][0];
    let of = |name: &str| {
        let mut products = application["products"].as_array().unwrap().iter();
        products.find(|product| product["product"] == name).unwrap().clone()
    };
    let met = of("server-standard-2");
    assert_eq!((&met["met"], &met["falls_below_by_trend_at"]), (&Value::Bool(true), &Value::Null), "{met}");
    let at = met["falls_below_at"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.len() == "2026-01-31T13:05:00Z".len(), "{at}");
    assert_eq!(of(PRODUCT)["falls_below_at"], Value::Null, "it is below");
    assert_eq!(application["expiring_within_days"]["7"], 0);
}
