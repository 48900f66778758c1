//! An upgrade, the change of format after it, and the downgrade; and the audit record, which only the newer format
//! has.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use quorate_tests::{Cluster, Finished, Plan, Quorate, cmid, eventually, words};
use serde_json::{Value, json};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

/// With this environment variable a process acts as the previous version, which knows one format less.
const PREVIOUS: &str = "QUORATE_TEST_PREVIOUS_FORMAT";

async fn set(cluster: &Cluster, via: u64, format: &str) -> Finished {
    cluster.admin(via, &words!["cluster", "format", "set", format]).await
}

/// Stops a node as an administrator does, and starts it as this version or as the previous one.
async fn replace(cluster: &mut Cluster, node: u64, previous: bool) {
    assert_eq!(cluster.stop(node).await, Some(0), "node {node}");
    if previous {
        cluster.set_variable(node, PREVIOUS, "2");
    } else {
        cluster.unset_variable(node, PREVIOUS);
    }
    cluster.start(node);
    eventually("it answers again", async || cluster.standing(node).await?.members.get(&node)?.ready.then_some(()))
        .await;
}

/// Every node counts a machine.
async fn is_counted(cluster: &Cluster, machine: u64) {
    let product = cluster.product("workstation-professional-2");
    for node in cluster.running() {
        let answered = product.activate(cluster.node(node).clients, cmid(machine)).await;
        assert!(answered.is_ok(), "node {node}: {answered:?}");
    }
}

async fn written(cluster: &Cluster, via: u64) -> Value {
    cluster.led(via).await["format"].clone()
}

#[tokio::test]
async fn a_cluster_is_upgraded_node_by_node_and_goes_back_once_its_format_did() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    for node in 1..=3 {
        cluster.set_variable(node, PREVIOUS, "2");
    }
    cluster.form().await;
    cluster.activate().await;
    cluster.settled(1).await;
    assert_eq!(written(&cluster, 1).await, 2);
    is_counted(&cluster, 1).await;

    for node in [1, 2] {
        replace(&mut cluster, node, false).await;
        assert_eq!(written(&cluster, node).await, 2, "never by itself");
        is_counted(&cluster, node).await;
    }
    let refused = set(&cluster, 1, "3").await;
    assert_eq!(refused.code, Some(1));
    let why = "every member must read format 3: the version of node 3 reads formats up to 2: upgrade it first";
    // Where node 3 is the leader, it does not know the request.
    let leads = "the version of the leader, node 3, does not support this command: upgrade it";
    assert!([why, leads].iter().any(|why| refused.stderr.contains(why)), "{}", refused.stderr);
    let recorded = cluster.administrate(1, &words!["cluster", "audit", "--all"]).await["entries"].clone();

    replace(&mut cluster, 3, false).await;
    let done = set(&cluster, 3, "3").await;
    assert_eq!((done.code, &done.json()["format"]), (Some(0), &json!(3)), "{}", done.stderr);
    cluster.administrate(2, &words!["settings", "set", "renewal.interval_minutes", "1440"]).await;
    is_counted(&cluster, 3).await;
    assert_eq!(set(&cluster, 1, "4").await.code, Some(1), "nobody knows it");

    // An older version does not start on a disk in the new format, and says why.
    assert_eq!(cluster.stop(3).await, Some(0));
    cluster.set_variable(3, PREVIOUS, "2");
    cluster.start(3);
    assert_eq!(cluster.ended(3).await, Some(2));
    let said = cluster.said(3);
    assert!(said.contains("of the log was written by a newer version: run that version on this node"), "{said}");
    assert_eq!(set(&cluster, 1, "2").await.code, Some(1), "node 3 cannot say what it reads");
    cluster.unset_variable(3, PREVIOUS);
    cluster.start(3);
    cluster.settled(1).await;

    let erasing = set(&cluster, 2, "1").await;
    assert_eq!(erasing.code, Some(1), "{}", erasing.stdout);
    assert!(erasing.stderr.contains("format 1 does not support the audit record"), "{}", erasing.stderr);
    let done = set(&cluster, 2, "2").await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for node in done.json()["nodes"].as_array().unwrap() {
        assert_eq!((&node["reads_format"], &node["stored_format"]), (&json!(3), &json!(2)), "{node}");
    }
    for node in 1..=3 {
        replace(&mut cluster, node, true).await;
        is_counted(&cluster, 4 + node).await;
    }
    let settled = cluster.settled(2).await;
    assert_eq!(settled.members.len(), 3);
    let settings = cluster.administrate(1, &words!["settings", "get", "renewal.interval_minutes"]).await;
    assert_eq!(settings["settings"]["renewal.interval_minutes"], "1440");
    let audit = cluster.administrate(1, &words!["cluster", "audit", "--all", "--verify"]).await["entries"].clone();
    assert!(audit.as_array().unwrap().starts_with(recorded.as_array().unwrap()), "no entry is gone: {audit}");
}

#[tokio::test]
async fn what_administrators_do_is_recorded_and_a_noted_entry_is_found_again() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let audit = async |cluster: &Cluster, node, more: &[&str]| {
        let mut words = words!["cluster", "audit", "--verify"].to_vec();
        words.extend(more.iter().map(Into::into));
        cluster.admin(node, &words).await
    };
    let entry = |entry: &Value| -> Vec<String> {
        ["act", "refused"].iter().map(|name| entry[name].as_str().unwrap_or_default().to_owned()).collect()
    };
    let before = audit(&cluster, 1, &[]).await.json();
    // The cluster registers its members when it is formed; these entries are left out.
    let all = before["entries"].as_array().unwrap().iter().map(|entry| entry["act"].to_string());
    let acts: Vec<_> = all.filter(|act| act != "\"register the keys of node 1, node 2, node 3\"").collect();
    assert!(acts[0].starts_with("\"install catalog 1 of ") && acts[1].starts_with("\"install key "), "{acts:?}");
    let noted = before["last"].as_str().unwrap().to_owned();

    cluster.administrate(2, &words!["settings", "set", "dns.ttl_s", "60"]).await;
    let added = cluster.admin(3, &words!["cluster", "add", "4=127.0.0.1:1"]).await;
    assert_eq!(added.code, Some(1));
    let file = cluster.path("backup");
    cluster.administrate(1, &words!["cluster", "backup", &file]).await;
    let after = audit(&cluster, 3, &["--contains", &noted]).await;
    assert_eq!(after.code, Some(0), "{}", after.stderr);
    let after = after.json();
    let entries = after["entries"].as_array().unwrap();
    let new: Vec<_> = entries.iter().skip(before["entries"].as_array().unwrap().len()).map(entry).collect();
    assert_eq!(new[0], ["set dns.ttl_s=60", ""]);
    assert_eq!(new[1], ["add node 4 at 127.0.0.1:1", ""]);
    // The reason in words is in the log of the node that received the command.
    assert!(new[2][0] == new[1][0] && new[2][1] == "the cluster is not in a state for it", "{new:?}");
    assert_eq!(new[3], ["back the state up", ""]);
    for entry in entries.iter().filter(|entry| entry["who"] != "node 1") {
        assert!(entry["who"].as_str().unwrap().starts_with("uid:"), "{entry}");
        assert_eq!(entry["from"], "socket");
    }
    let other = noted.replace(|letter: char| letter.is_ascii_lowercase(), "0");
    let refused = audit(&cluster, 1, &["--contains", &other]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("differs from the given hash"), "{}", refused.stderr);

    // All nodes have the same record, also a node that restarts.
    cluster.kill(2).await;
    cluster.start(2);
    cluster.settled(2).await;
    assert_eq!(audit(&cluster, 2, &[]).await.json(), audit(&cluster, 1, &[]).await.json());
}

/// The lines of a node's audit file, as JSON.
fn audit_lines(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn each_act_is_a_line_of_the_audit_file_which_is_opened_again_on_sighup() {
    use std::os::unix::fs::PermissionsExt;
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    let (file, moved) = (cluster.path("audit.json"), cluster.path("audit.1"));
    cluster.set_variable(1, "QUORATE_AUDIT_FILE", &file);
    // The audit file gets its lines whatever the log level is; here it allows errors and the message that the node
    // runs.
    cluster.set_variable(1, "QUORATE_LOG", "error,quorate::host_command::run=info");
    cluster.form().await;
    let set = async |seconds: &str| cluster.admin(1, &words!["settings", "set", "dns.ttl_s", seconds]).await.code;
    assert_eq!(set("60").await, Some(0));
    let refused = cluster.admin(1, &words!["cluster", "add", "4=127.0.0.1:1"]).await;
    assert_eq!(refused.code, Some(1));
    let lines = audit_lines(&file);
    let said = |act: &str, message: &str| {
        lines.iter().any(|line| line["act"] == act && line["message"] == message && line["from"] == "socket")
    };
    assert!(said("set dns.ttl_s=60", "an administrator's act"), "{lines:?}");
    assert!(said("add node 4 at 127.0.0.1:1", "an administrator's act was not done"), "{lines:?}");
    assert!(lines.iter().all(|line| line["who"].as_str().is_some_and(|who| !who.is_empty())), "{lines:?}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    std::fs::rename(&file, &moved).unwrap();
    cluster.process(1).hang_up();
    eventually("it is opened again", async || file.exists().then_some(())).await;
    assert_eq!(set("90").await, Some(0));
    assert_eq!(audit_lines(&moved), lines);
    assert!(audit_lines(&file).iter().any(|line| line["act"] == "set dns.ttl_s=90"));

    assert_eq!(cluster.stop(1).await, Some(0));
    let nowhere = cluster.run_host(&cluster.node(1).config, &["--audit-file", "/nowhere/audit"]).await;
    assert_eq!(nowhere.code, Some(2));
    assert!(nowhere.stderr.contains("audit.file"), "{}", nowhere.stderr);
}
