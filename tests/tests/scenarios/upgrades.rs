//! Nodes of two versions in one cluster, upgraded and downgraded.

use std::{collections::BTreeSet, env, path::PathBuf};

use quorate_tests::{Cluster, Network, Quorate, eventually, words};
use serde_json::Value;

use super::scene::{QUORATE, Scene, begins, configured, network};

/// With this environment variable a process acts as the previous version, which knows one format less.
const PREVIOUS: &str = "QUORATE_TEST_PREVIOUS_FORMAT";

async fn set(scene: &Scene, format: &str) {
    let set = scene.cluster.admin(1, &words!["cluster", "format", "set", format]).await;
    assert_eq!(set.code, Some(0), "{}", set.stderr);
}

/// Drains every node in turn, and starts it as this version or as the previous one.
async fn roll(scene: &mut Scene, previous: bool) {
    for node in scene.cluster.numbers() {
        let other = scene.others(node)[0];
        let leads = if scene.leader(other).await == node { ", which leads," } else { "" };
        scene.load.enters(format!("node {node}{leads} is drained"));
        scene.drain(node).await;
        scene.seconds(1).await;
        if previous {
            scene.cluster.set_variable(node, PREVIOUS, "2");
        } else {
            scene.cluster.unset_variable(node, PREVIOUS);
        }
        scene.load.enters(format!("node {node} is back"));
        scene.cluster.start(node);
        scene.serves(other, node).await;
    }
}

/// A cluster of the previous version. Where `nodes` is even, the last node joins as a learner.
async fn of_the_version_before(network: &Network, nodes: u8) -> Cluster {
    let forming = (nodes - 1) | 1;
    let mut cluster = configured(network, nodes, forming).await;
    for node in cluster.numbers() {
        cluster.set_variable(node, PREVIOUS, "2");
    }
    cluster.form().await;
    cluster.activate().await;
    for node in u64::from(forming) + 1..=u64::from(nodes) {
        cluster.start(node);
        eventually("it can be asked", async || cluster.status(node).await).await;
        cluster.add(1, node).await;
        cluster.activate_members(1).await;
    }
    cluster.settled(1).await;
    cluster
}

async fn up_and_down(test: &str, down: &str, nodes: u8) {
    begins(down);
    let Some(network) = network(test).await else { return };
    let cluster = of_the_version_before(&network, nodes).await;
    let mut scene = Scene::running(test, network, cluster).await;
    roll(&mut scene, false).await;
    scene.load.enters("the format is raised");
    set(&scene, "3").await;
    scene.cluster.administrate(1, &words!["settings", "set", "renewal.interval_minutes", "1440"]).await;
    let audit = scene.cluster.administrate(1, &words!["cluster", "audit", "--verify"]).await;
    let acts: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| entry["act"].clone()).collect();
    assert!(acts.ends_with(&["set format 3".into(), "set renewal.interval_minutes=1440".into()]), "{audit}");
    scene.seconds(1).await;
    let network = scene.network.again();
    let mut cluster = scene.ends().await;

    for node in cluster.numbers() {
        cluster.start(node);
    }
    eventually("it goes on", async || cluster.standing(1).await?.leader).await;
    cluster.settled(1).await;
    let mut scene = Scene::running(down, network, cluster).await;
    scene.load.enters("the format is lowered");
    set(&scene, "2").await;
    scene.seconds(1).await;
    roll(&mut scene, true).await;
    scene.ends_with_logs_cut().await;
}

#[tokio::test]
async fn scenario_upgrade_of_three() {
    up_and_down("upgrades::scenario_upgrade_of_three", "scenario_downgrade_of_three", 3).await;
}

#[tokio::test]
async fn scenario_upgrade_of_six() {
    up_and_down("upgrades::scenario_upgrade_of_six", "scenario_downgrade_of_six", 6).await;
}

/// Environment variable with the path of the recorded older version's program; `cargo xtask test cluster` sets it.
const RECORDED: &str = "QUORATE_TEST_PREVIOUS_VERSION";

/// The program of the recorded older version; `None` where it has not been built.
fn recorded() -> Option<Quorate> {
    let program = PathBuf::from(env::var_os(RECORDED)?);
    program.exists().then(|| Quorate::at(program))
}

/// Runs a command on a node with the command line of this program; it must succeed.
async fn ask(scene: &Scene, program: &Quorate, via: u64, words: &[std::ffi::OsString]) -> Value {
    let finished = scene.cluster.admin_by(program, via, words).await;
    assert_eq!(
        finished.code,
        Some(0),
        "{words:?} on node {via} by {}: {}",
        program.program().display(),
        finished.stderr
    );
    finished.json()
}

/// Runs, on every node and with the command lines of both versions, commands that need all other nodes.
async fn nodes_answer_each_other(scene: &Scene, programs: &[&Quorate]) {
    let running: BTreeSet<_> = scene.cluster.running().into_iter().collect();
    for program in programs {
        for &via in &running {
            let ready = async || {
                let status = ask(scene, program, via, &words!["cluster", "status"]).await;
                let nodes = status["nodes"].as_array()?.clone();
                let answers = |node: &Value| node["reachable"] == true && node["ready"] == true;
                (nodes.len() == running.len() && nodes.iter().all(answers)).then_some(())
            };
            eventually(&format!("node {via} hears all others"), ready).await;
            let events = ask(scene, program, via, &words!["events", "--last", "5"]).await;
            assert_eq!(events["passed_over"], serde_json::json!([]), "node {via}");
            let nodes = events["events"].as_array().unwrap().iter().filter_map(|event| event["node"].as_u64());
            assert_eq!(nodes.collect::<BTreeSet<_>>(), running, "node {via} has the events of all");
            let counts = ask(scene, program, via, &words!["count"]).await;
            assert!(!counts["applications"].as_array().unwrap().is_empty(), "node {via}");
        }
    }
}

/// Installs and activates another host key. Every node makes a key pair for it, upon a request from the node `via`.
async fn activates_another_key(scene: &Scene, via: u64) {
    let publisher = scene.cluster.path("publisher");
    let issue = words!["publisher", "key", "issue", "--dir", &publisher, "--group", "server-a", "--json"];
    let issued = scene.cluster.run(&issue).await;
    assert_eq!(issued.code, Some(0), "{}", issued.stderr);
    let key = issued.json()["key"].as_str().unwrap().to_owned();
    scene.cluster.administrate(via, &words!["key", "install", &key, "--yes"]).await;
    scene.cluster.activate_members(via).await;
}

/// Drains every node in turn and starts it with this program. After each step the cluster has nodes of one or of two
/// versions.
async fn roll_to(scene: &mut Scene, program: Option<&Quorate>, version: &str, programs: &[&Quorate]) {
    for node in scene.cluster.numbers() {
        let other = scene.others(node)[0];
        scene.load.enters(format!("node {node} goes to the {version} version"));
        scene.drain(node).await;
        scene.cluster.set_program(node, program);
        scene.cluster.start(node);
        scene.serves(other, node).await;
        scene.load.enters(format!("node {node} is of the {version} version"));
        nodes_answer_each_other(scene, programs).await;
        // Through a node of the new and a node of the old version, each time on nodes of both versions.
        activates_another_key(scene, node).await;
        if node < 3 {
            activates_another_key(scene, 3).await;
        }
    }
}

#[tokio::test]
async fn scenario_upgrade_from_the_recorded_version_and_back() {
    let test = "upgrades::scenario_upgrade_from_the_recorded_version_and_back";
    let Some(recorded) = recorded() else {
        println!("{test} did not run: the recorded version is not built; `cargo xtask golden build` builds it");
        return;
    };
    begins(test);
    let Some(network) = network(test).await else { return };
    let mut cluster = configured(&network, 3, 3).await;
    for node in cluster.numbers() {
        cluster.set_program(node, Some(&recorded));
    }
    let mut scene = Scene::formed(test, network, cluster).await;
    let today = Quorate::at(QUORATE);
    let programs = [&recorded, &today];
    roll_to(&mut scene, None, "new", &programs).await;
    roll_to(&mut scene, Some(&recorded), "recorded", &programs).await;
    scene.ends().await;
}
