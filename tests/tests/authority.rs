//! The cluster's authority is replaced while the cluster serves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::ffi::OsString;

use quorate_tests::{Cluster, Finished, Load, Plan, Quorate, TIMEOUT, eventually, words};
use tokio::time::timeout;
use transport::{Authority, Folder};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

async fn in_force(cluster: &Cluster) {
    eventually("keys must be registered", async || {
        let registry = cluster.administrate(1, &words!["cluster", "revoke", "--list"]).await;
        (registry["in_force"] == true).then_some(())
    })
    .await;
}

/// Runs a command as a person would, with saved contexts that belong to the test.
async fn command(cluster: &Cluster, words: &[OsString]) -> Finished {
    let mut command = Quorate::at(QUORATE).command(words);
    command.env("XDG_CONFIG_HOME", cluster.path("config"));
    let output = timeout(TIMEOUT, command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

async fn login(cluster: &Cluster, via: u64, name: &str, role: &str) {
    let made = cluster.administrate(via, &words!["cluster", "token", "--role", role]).await;
    let address = cluster.node(via).admin.to_string();
    let token = made["token"].as_str().unwrap();
    let words = words!["cluster", "login", &address, "--token", token, "--as", name, "--context", name, "--force"];
    let logged_in = command(cluster, &words).await;
    assert_eq!(logged_in.code, Some(0), "{}", logged_in.stderr);
}

async fn status_as(cluster: &Cluster, name: &str) {
    let status = command(cluster, &words!["cluster", "status", "--admin", name]).await;
    assert_eq!(status.code, Some(0), "{name}: {}", status.stderr);
}

fn tls(cluster: &Cluster, node: u64) -> Folder {
    Folder::at(&cluster.node(node).data.join("tls"))
}

/// The fingerprint of the authority that a node trusts first; `None` unless the node's certificate is from that
/// authority and the node has its key.
fn taken_over(cluster: &Cluster, node: u64) -> Option<String> {
    let tls = tls(cluster, node);
    let pem = tls.authority_pem().ok()?;
    let is_own = Authority::name_of(&pem).ok()? == tls.identity().ok()?.certificate().issuer;
    let fingerprint = tls.authority().ok()?.fingerprint();
    is_own.then(|| fingerprint.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn followed(cluster: &Cluster, node: u64, fingerprint: &str) {
    eventually(&format!("node {node} has taken the authority over"), async || {
        (taken_over(cluster, node)? == fingerprint).then_some(())
    })
    .await;
}

fn believed(cluster: &Cluster, node: u64) -> usize {
    tls(cluster, node).authority_pem().unwrap().matches("BEGIN CERTIFICATE").count()
}

#[tokio::test]
async fn the_authority_is_replaced_under_load_and_a_node_that_was_off_follows() {
    let kept = Plan { variables: &[("QUORATE_TEST_KEEP_LOG", "1")], ..Plan::of(3) };
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), kept).await;
    in_force(&cluster).await;
    login(&cluster, 1, "ada", "administrator").await;
    let before = taken_over(&cluster, 1).unwrap();
    assert_eq!(cluster.stop(3).await, Some(0));
    let load = Load::start(&cluster, &cluster.product("workstation-professional-2"), 4);
    let rotated = command(&cluster, &words!["cluster", "authority", "rotate", "--json", "--admin", "ada"]).await;
    assert_eq!(rotated.code, Some(0), "{}", rotated.stderr);
    let fingerprint = rotated.json()["fingerprint"].as_str().unwrap().to_owned();
    assert_ne!(fingerprint, before);
    for node in [1, 2] {
        followed(&cluster, node, &fingerprint).await;
        assert_eq!(believed(&cluster, node), 2, "the one before, too");
    }
    load.more(100).await;
    let answered = load.end().await;
    eprintln!("while the authority was replaced: {answered}");
    // Ada's context trusts the previous authority, and recognises the node by its key.
    status_as(&cluster, "ada").await;
    login(&cluster, 2, "bob", "reader").await;
    status_as(&cluster, "bob").await;
    cluster.start(3);
    followed(&cluster, 3, &fingerprint).await;
    cluster.settled(3).await;
    let audit = cluster.administrate(1, &words!["cluster", "audit", "--all"]).await;
    let is_recorded = |act: &str| audit["entries"].as_array().unwrap().iter().any(|entry| entry["act"] == act);
    assert!(is_recorded("replace the cluster's authority"), "{audit}");
    answered.is_kept_by(&mut cluster).await;
}

#[tokio::test]
async fn an_authority_whose_key_leaked_is_believed_no_more_at_once() {
    let cluster = {
        let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
        cluster.form().await;
        cluster
    };
    in_force(&cluster).await;
    login(&cluster, 1, "ada", "administrator").await;
    let rotated =
        command(&cluster, &words!["cluster", "authority", "rotate", "--now", "--json", "--admin", "ada"]).await;
    assert_eq!(rotated.code, Some(0), "{}", rotated.stderr);
    let fingerprint = rotated.json()["fingerprint"].as_str().unwrap().to_owned();
    for node in [1, 2, 3] {
        followed(&cluster, node, &fingerprint).await;
        assert_eq!(believed(&cluster, node), 1);
    }
    status_as(&cluster, "ada").await;
    login(&cluster, 3, "bob", "reader").await;
    status_as(&cluster, "bob").await;
}

#[tokio::test]
async fn an_authority_whose_key_is_lost_is_replaced_on_a_nodes_own_socket() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.form().await;
    in_force(&cluster).await;
    login(&cluster, 1, "ada", "administrator").await;
    std::fs::remove_file(cluster.node(1).data.join("tls/authority.key")).unwrap();
    let without = cluster.admin(1, &words!["cluster", "authority", "rotate"]).await;
    assert_eq!(without.code, Some(1));
    assert!(without.stderr.contains("quorate cluster authority rotate --lost"), "{}", without.stderr);
    let afar = command(&cluster, &words!["cluster", "authority", "rotate", "--lost", "--admin", "ada"]).await;
    assert_eq!(afar.code, Some(1));
    assert!(afar.stderr.contains("through a node's administration socket"), "{}", afar.stderr);
    let rotated = cluster.administrate(1, &words!["cluster", "authority", "rotate", "--lost"]).await;
    followed(&cluster, 1, rotated["fingerprint"].as_str().unwrap()).await;
    status_as(&cluster, "ada").await;
    login(&cluster, 1, "bob", "reader").await;
    status_as(&cluster, "bob").await;
}
