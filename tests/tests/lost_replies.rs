//! An administrator's command whose reply is lost is repeated, and carried out once.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::ffi::OsString;

use quorate_tests::{Cluster, Finished, LostReply, LostReplyFromAfar, Plan, Quorate, eventually, words};
use serde_json::Value;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

/// How many entries of the audit record have an act that contains `act`.
async fn audited(cluster: &Cluster, act: &str) -> usize {
    let audit = cluster.administrate(1, &words!["cluster", "audit", "--all"]).await;
    let entries = audit["entries"].as_array().unwrap().iter();
    entries.filter(|entry| entry["act"].as_str().unwrap().contains(act)).count()
}

async fn setting(cluster: &Cluster, name: &str) -> String {
    let shown = cluster.administrate(1, &words!["settings", "get", name]).await;
    shown["settings"][name].as_str().unwrap().to_owned()
}

/// Runs a command whose first reply is lost. `meanwhile` runs once the audit record holds `act`, before the
/// connection breaks.
async fn with_lost_reply(cluster: &Cluster, command: &[OsString], act: &str, meanwhile: &[OsString]) -> Finished {
    let before = audited(cluster, act).await;
    let path = cluster.path("lost.sock");
    let _earlier = std::fs::remove_file(&path);
    let way = LostReply::at(path, &cluster.node(1).data.join("admin.sock"));
    let mut command = command.to_vec();
    command.extend(words!["--json", "--admin", way.admin()]);
    let quorate = Quorate::at(QUORATE);
    let asked = quorate.run(command);
    let breaks = async {
        eventually("it is carried out", async || (audited(cluster, act).await > before).then_some(())).await;
        if !meanwhile.is_empty() {
            cluster.administrate(1, meanwhile).await;
        }
        way.break_off();
    };
    let (finished, ()) = tokio::join!(asked, breaks);
    finished
}

#[tokio::test]
async fn a_command_whose_reply_is_lost_is_carried_out_once() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.form().await;

    // The newer value stays: the repeated request does not set the older one again.
    let set = |value: &str| words!["settings", "set", "renewal.interval_minutes", value].to_vec();
    let finished = with_lost_reply(&cluster, &set("20000"), "20000", &set("30000")).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(setting(&cluster, "renewal.interval_minutes").await, "30000");
    assert_eq!(audited(&cluster, "20000").await, 1);

    // The printed token is the only token that the cluster has issued.
    let token = words!["cluster", "token", "--role", "reader"];
    let finished = with_lost_reply(&cluster, &token, "give out a token", &[]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(audited(&cluster, "give out a token").await, 1);
    let token = finished.json()["token"].as_str().unwrap().to_owned();
    let admin = cluster.node(1).admin.to_string();
    let home = cluster.path("home");
    let quorate = Quorate::at(QUORATE);
    let mut login = quorate.command(["cluster", "login", &admin, "--as", "ada", "--token", &token, "--json"]);
    let logged_in = quorate_tests::finished(login.env("XDG_CONFIG_HOME", &home)).await;
    assert_eq!(logged_in.code, Some(0), "{}", logged_in.stderr);
    assert_eq!(logged_in.json()["role"], Value::from("reader"));
}

#[tokio::test]
async fn a_token_whose_reply_is_lost_is_answered_again_with_the_same_certificate() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.form().await;
    let quorate = Quorate::at(QUORATE);
    let token = async |role: &str| {
        let made = cluster.administrate(1, &words!["cluster", "token", "--role", role]).await;
        made["token"].as_str().unwrap().to_owned()
    };
    let spent = |act: &'static str| {
        let cluster = &cluster;
        async move { eventually(act, async || (audited(cluster, act).await > 0).then_some(())).await }
    };

    let (way, reader) = (LostReplyFromAfar::before(cluster.node(1).admin).await, token("reader").await);
    let mut login = quorate.command(["cluster", "login", &way.address(), "--as", "ada", "--token", &reader, "--json"]);
    let breaks = async {
        spent("enrol ada").await;
        way.break_off();
    };
    let (logged_in, ()) =
        tokio::join!(quorate_tests::finished(login.env("XDG_CONFIG_HOME", cluster.path("home"))), breaks);
    assert_eq!(logged_in.code, Some(0), "{}", logged_in.stderr);
    assert!(logged_in.stderr.contains("the connection failed before the reply arrived"), "{}", logged_in.stderr);
    let mut count = quorate.command(["cluster", "status", "--admin", "default"]);
    let asked = quorate_tests::finished(count.env("XDG_CONFIG_HOME", cluster.path("home"))).await;
    assert_eq!(asked.code, Some(0), "{}", asked.stderr);

    let (way, node) = (LostReplyFromAfar::before(cluster.node(1).admin).await, token("node").await);
    let (config, data) = (cluster.path("node2.toml"), cluster.path("data2"));
    let words = words![
        "host",
        "init",
        "--config",
        &config,
        "--data",
        &data,
        "--join",
        way.address(),
        "--token",
        &node,
        "--json"
    ];
    let breaks = async {
        spent("enrol node 2").await;
        way.break_off();
    };
    let (joined, ()) = tokio::join!(quorate.run(words), breaks);
    assert_eq!(joined.code, Some(0), "{}", joined.stderr);
    let again = words![
        "host",
        "init",
        "--config",
        cluster.path("node3.toml"),
        "--data",
        cluster.path("data3"),
        "--join",
        way.address(),
        "--token",
        &node
    ];
    let again = quorate.run(again).await;
    assert_eq!(again.code, Some(1), "another signing request: {}", again.stdout);
    assert!(again.stderr.contains("it was used already"), "{}", again.stderr);
    assert_eq!(audited(&cluster, "enrol").await, 2);
}

#[tokio::test]
async fn below_format_3_a_lost_reply_is_an_unknown_outcome_and_nothing_is_repeated() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.form().await;
    cluster.administrate(1, &words!["cluster", "format", "set", "2"]).await;
    let token = words!["cluster", "token", "--role", "reader"];
    let finished = with_lost_reply(&cluster, &token, "give out a token", &[]).await;
    assert_eq!(finished.code, Some(1), "{}", finished.stdout);
    assert!(finished.stderr.contains("the outcome of the request is unknown"), "{}", finished.stderr);
    assert_eq!(audited(&cluster, "give out a token").await, 1);
}
