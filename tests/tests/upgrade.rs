//! One command restarts every node of a cluster with the build that is installed on it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use quorate_tests::{Cluster, Load, Plan, Quorate, words};
use serde_json::{Value, json};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

/// The exit code of a node that is to be started again at once.
const RESTART: i32 = 75;

/// Replaces the file at `path` as a package manager does: writes it under another name, then renames it.
fn put(path: &Path, write: impl FnOnce(&Path)) {
    let new = path.with_extension("new");
    write(&new);
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, path).unwrap();
}

/// Writes a program that reports another build, and is the same otherwise.
fn next_build(path: &Path, formats: &str) {
    let said = format!(r#"{{"version":"99.0.0","commit":"next","built":"later","formats":{formats}}}"#);
    let script = format!("#!/bin/sh\nif [ \"$1\" = version ]; then echo '{said}'; else exec '{QUORATE}' \"$@\"; fi\n");
    put(path, |new| fs::write(new, &script).unwrap());
}

async fn check(cluster: &Cluster) -> Value {
    cluster.administrate(1, &words!["cluster", "upgrade", "--check"]).await
}

#[tokio::test]
async fn every_node_is_started_again_with_what_is_installed_on_it_and_the_leader_last() {
    let kept = Plan { variables: &[("QUORATE_TEST_KEEP_LOG", "1")], ..Plan::of(3) };
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), kept).await;
    let programs = [1, 2, 3].map(|node| cluster.path(&format!("quorate-{node}")));
    for (node, program) in (1..).zip(&programs) {
        put(program, |new| assert!(fs::copy(QUORATE, new).unwrap() > 0));
        cluster.set_program(node, Some(&Quorate::at(program.to_str().unwrap())));
    }
    cluster.form().await;
    cluster.activate().await;
    cluster.settled(1).await;
    let same = check(&cluster).await;
    assert_eq!((&same["possible"], &same["order"]), (&json!(true), &json!([])), "{same}");
    let running = same["nodes"][0]["running"].clone();
    assert_eq!(running, same["nodes"][0]["installed"]);
    assert!(running["formats"].as_array().unwrap().contains(&same["format"]), "{same}");

    // The installed build does not read the format that the cluster writes.
    next_build(&programs[1], "[1]");
    let unfit = check(&cluster).await;
    assert_eq!(unfit["possible"], false, "{unfit}");
    assert!(unfit["not_possible_because"].as_str().unwrap().contains("the build on node 2 (99.0.0 (next))"), "{unfit}");
    let refused = cluster.admin(1, &words!["cluster", "upgrade", "--run"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("does not read"), "{}", refused.stderr);

    for program in &programs {
        next_build(program, "[1,2,3,4]");
    }
    let leader = cluster.led(1).await["leader"].as_u64().unwrap();
    let mut order: Vec<_> = [1, 2, 3].into_iter().filter(|node| *node != leader).collect();
    order.push(leader);
    let due = check(&cluster).await;
    assert_eq!((&due["possible"], &due["order"]), (&json!(true), &json!(order)), "{due}");
    assert_eq!(due["nodes"][0]["installed"]["commit"], "next", "{due}");
    assert_eq!(due["nodes"][0]["running"], running, "a package that is installed restarts nothing");

    let load = Load::start(&cluster, &cluster.product("workstation-professional-2"), 4);
    // The command is connected to a node that restarts itself.
    let socket = format!("unix:{}", cluster.node(order[0]).data.join("admin.sock").display());
    let words = words!["cluster", "upgrade", "--run", "--wait", "0", "--json", "--admin", socket].to_vec();
    let upgrade = tokio::spawn(async move { Quorate::at(QUORATE).run(words).await });
    for &node in &order {
        assert_eq!(cluster.ended(node).await, Some(RESTART), "node {node}");
        cluster.start(node);
    }
    let upgraded = upgrade.await.unwrap();
    assert_eq!(upgraded.code, Some(0), "{}", upgraded.stderr);
    assert_eq!(upgraded.json()["upgraded"], json!(order));
    load.more(50).await;
    let answered = load.end().await;
    eprintln!("while every node was started again: {answered}");
    let done = check(&cluster).await;
    assert_eq!((&done["possible"], &done["order"]), (&json!(true), &json!([])), "{done}");
    answered.is_kept_by(&mut cluster).await;
}

#[tokio::test]
async fn an_upgrade_stops_where_the_next_step_would_lose_the_majority() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    let program = cluster.path("quorate-2");
    put(&program, |new| assert!(fs::copy(QUORATE, new).unwrap() > 0));
    cluster.set_program(2, Some(&Quorate::at(program.to_str().unwrap())));
    cluster.form().await;
    cluster.activate().await;
    cluster.settled(1).await;
    next_build(&program, "[1,2,3]");
    assert_eq!(check(&cluster).await["order"], json!([2]));
    assert_eq!(cluster.stop(3).await, Some(0));
    let refused = cluster.admin(1, &words!["cluster", "upgrade", "--run", "--wait", "0"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("node 3 is"), "{}", refused.stderr);
    assert_eq!(cluster.has_ended(2), None, "nothing was stopped");
}
