//! Clocks that are wrong, a full disk, and a state that is restored on another node.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use quorate_tests::{cmid, eventually, words};
use serde_json::{Value, json};

use super::scene::{Scene, configured, network};

/// The library that replaces the C library's clock, in the folder of this machine's architecture.
fn faketime() -> PathBuf {
    let architectures = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut candidates = architectures.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    candidates.find(|library| library.exists()).expect("there is libfaketime (Debian: libfaketime)")
}

#[expect(clippy::disallowed_methods, reason = "cluster time is compared with the time of this machine")]
fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn scenario_wrong_clocks() {
    let Some(mut scene) = Scene::of("surroundings::scenario_wrong_clocks", 5).await else { return };
    for (node, time) in [(4, "+40d"), (5, "-4h")] {
        scene.cluster.set_variable(node, "LD_PRELOAD", faketime());
        scene.cluster.set_variable(node, "FAKETIME", time);
        scene.cluster.set_variable(node, "FAKETIME_DONT_FAKE_MONOTONIC", "1");
        scene.load.enters(format!("node {node} wakes with its clock {time}"));
        assert_eq!(scene.cluster.stop(node).await, Some(0));
        scene.cluster.start(node);
        scene.serves(1, node).await;
        scene.seconds(2).await;
    }
    // Each of these nodes in turn may become the leader; the node whose clock is days ahead does not stay the leader.
    scene.load.enters("they are asked to lead");
    for to in [4_u64, 5, 1] {
        scene.cluster.admin(1, &words!["cluster", "transfer", "--to", to.to_string()]).await;
        scene.seconds(2).await;
        let product = scene.cluster.product("workstation-professional-2");
        for node in 1..=5 {
            let answered = product.activate(scene.cluster.node(node).clients, cmid(u64::MAX - node)).await;
            assert!(answered.is_ok(), "node {node} while node {to} was asked to lead: {answered:?}");
        }
        let status = scene.cluster.led(1).await;
        let off_ms = status["cluster_time_ms"].as_u64().unwrap().abs_diff(now_ms());
        assert!(off_ms < 60_000, "cluster time follows the three good clocks: {status}");
        let marked = status["nodes"].as_array().unwrap().iter().filter(|node| node["clock_is_off"] == true);
        assert_eq!(marked.map(|node| node["id"].as_u64().unwrap()).collect::<Vec<_>>(), [4, 5]);
    }
    eventually("the clock that is days off does not lead", async || {
        scene.cluster.standing(1).await?.leader.filter(|leader| *leader != 4)
    })
    .await;
    scene.ends().await;
}

/// How many machines each application counts, as a node reports.
async fn counts(scene: &Scene, via: u64) -> Vec<u64> {
    let counts = scene.cluster.administrate(via, &words!["count"]).await;
    counts["applications"].as_array().unwrap().iter().filter_map(|counted| counted["count"].as_u64()).collect()
}

/// Two of three machines start with clocks 40 days ahead that are not synchronised: machines are refused, and none
/// expires.
#[tokio::test]
async fn scenario_two_of_three_clocks_wrong_at_power_up() {
    let test = "surroundings::scenario_two_of_three_clocks_wrong_at_power_up";
    let Some(mut scene) = Scene::of(test, 3).await else { return };
    // After that the count is at the cache limit, so the same number is counted at the end.
    scene.seconds(2).await;
    let before = counts(&scene, 1).await;
    scene.load.enters("the power fails, and two clocks are 40 days ahead");
    for node in 1..=3 {
        scene.cluster.kill(node).await;
        scene.cluster.set_variable(node, "QUORATE_TEST_CLOCK_SYNCHRONISED", "no");
    }
    for node in [2, 3] {
        scene.cluster.set_variable(node, "LD_PRELOAD", faketime());
        scene.cluster.set_variable(node, "FAKETIME", "+40d");
        scene.cluster.set_variable(node, "FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    (1..=3).for_each(|node| scene.cluster.start(node));
    eventually("an alarm is raised", async || {
        let status = scene.cluster.status(1).await?;
        status["clock"]["alarm"].is_string().then_some(())
    })
    .await;
    let product = scene.cluster.product("workstation-professional-2");
    let answered = product.activate(scene.cluster.node(1).clients, cmid(u64::MAX)).await;
    assert!(answered.is_err(), "most clocks say another time than the machine's");
    assert_eq!(counts(&scene, 1).await, before, "nothing is forgotten");
    scene.load.enters("the clocks are set right, and synchronised");
    for node in 1..=3 {
        for name in ["LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC", "QUORATE_TEST_CLOCK_SYNCHRONISED"] {
            scene.cluster.unset_variable(node, name);
        }
        scene.cluster.set_variable(node, "QUORATE_TEST_CLOCK_SYNCHRONISED", "yes");
        scene.cluster.stop(node).await;
        scene.cluster.start(node);
    }
    for node in 1..=3 {
        scene.serves(1, node).await;
    }
    eventually("the alarm is over", async || {
        let status = scene.cluster.status(1).await?;
        status["clock"]["alarm"].is_null().then_some(())
    })
    .await;
    scene.seconds(1).await;
    assert_eq!(counts(&scene, 1).await, before, "nothing was forgotten");
    scene.ends().await;
}

/// Writes until the disk is full.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let block = vec![0x5A; 64 * 1024];
    let full = std::iter::from_fn(|| Some(file.write_all(&block))).find_map(Result::err).unwrap();
    assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
}

#[tokio::test]
async fn scenario_disk_full() {
    let Some(network) = network("surroundings::scenario_disk_full").await else { return };
    let cluster = configured(&network, 3, 3).await;
    for node in 1..=3 {
        network.small_disk(&cluster.node(node).data, 192).await;
    }
    let mut scene = Scene::formed("scenario_disk_full", network, cluster).await;
    let node = scene.leader(1).await;
    let (data, other) = (scene.cluster.node(node).data.clone(), scene.others(node)[0]);
    scene.load.enters("the disk of the leader is full");
    fill(&data.join("ballast"));
    assert_eq!(scene.cluster.ended(node).await, Some(1), "it stops rather than lies");
    let said = scene.cluster.said(node);
    assert!(said.contains("No space left on device"), "{said}");
    scene.seconds(2).await;
    scene.load.enters("it has room again");
    fs::remove_file(data.join("ballast")).unwrap();
    scene.cluster.start(node);
    scene.serves(other, node).await;
    scene.seconds(1).await;
    scene.ends().await;
}

#[tokio::test]
async fn scenario_backup_restored_elsewhere() {
    let Some(network) = network("surroundings::scenario_backup_restored_elsewhere").await else { return };
    let cluster = configured(&network, 4, 3).await;
    let addresses = (1..=3).map(|node| cluster.node(node).clients).collect();
    let mut cluster = cluster;
    cluster.form().await;
    cluster.activate().await;
    cluster.settled(1).await;
    let mut scene = Scene::asked_at("scenario_backup_restored_elsewhere", network, cluster, addresses).await;
    let follower = scene.others(scene.leader(1).await)[0];
    scene.load.enters("a backup");
    let file = scene.cluster.path("monday.backup");
    let backup = scene.cluster.administrate(follower, &words!["cluster", "backup", &file]).await;
    scene.seconds(1).await;

    let config = &scene.cluster.node(4).config;
    let restore = words!["cluster", "restore", &file, "--config", config, "--json"];
    let restored = scene.cluster.run(&restore).await;
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    scene.cluster.start(4);
    eventually("it leads itself", async || scene.cluster.standing(4).await?.leader).await;
    let status = scene.cluster.led(4).await;
    assert!(status["nodes"][0]["applied_index"].as_u64() >= backup["log_index"].as_u64(), "{status}");
    let count = async |node| -> Value {
        let counts = scene.cluster.administrate(node, &words!["count"]).await;
        let counts = counts["applications"].as_array().unwrap().iter();
        counts.map(|counted| json!([counted["application"], counted["count"], counted["cache_limit"]])).collect()
    };
    // The count was at the cache limit long before, so both clusters count the same number.
    assert_eq!(count(4).await, count(follower).await);
    scene.cluster.activate_members(4).await;
    scene.is_ready(4, 4).await;
    let product = scene.cluster.product("workstation-professional-2");
    let answered = product.activate(scene.cluster.node(4).clients, cmid(u64::MAX)).await;
    assert!(answered.is_ok(), "{answered:?}");
    assert_eq!(scene.cluster.stop(4).await, Some(0));
    scene.ends().await;
}
