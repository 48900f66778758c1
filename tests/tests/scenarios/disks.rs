//! Disks that are set back in time, for each role of a node; data folders that are copied; and a lost majority.

use std::{fs, path::Path};

use quorate_tests::{Network, cmid, copy_folder, eventually, page, words};

use super::scene::{Scene, configured, network};

/// Waits until health and status report that the node is quarantined.
async fn is_quarantined(scene: &Scene, node: u64) {
    eventually(&format!("node {node} is quarantined"), async || {
        let (status, text) = page(scene.cluster.node(node).metrics, "/readyz").await?;
        (status == 503 && text.contains("quarantined")).then_some(())
    })
    .await;
}

/// Removes a quarantined node from the cluster, and stops its process.
async fn take_out(scene: &mut Scene, via: u64, node: u64) {
    scene.load.enters("it is taken out");
    scene.cluster.administrate(via, &words!["cluster", "remove", node.to_string(), "--dead"]).await;
    scene.cluster.kill(node).await;
}

/// Sets a node's folder back to its content before some seconds of load. With `leads`, the node is the leader again
/// during that time.
async fn put_back(scene: &mut Scene, via: u64, node: u64, leads: bool) {
    let (data, kept) = (scene.cluster.node(node).data.clone(), scene.cluster.path("kept"));
    assert_eq!(scene.cluster.stop(node).await, Some(0));
    copy_folder(&data, &kept).unwrap();
    scene.cluster.start(node);
    scene.serves(via, node).await;
    if leads {
        scene.cluster.administrate(via, &words!["cluster", "transfer", "--to", node.to_string()]).await;
        assert_eq!(scene.leader(via).await, node);
    }
    scene.seconds(2).await;
    scene.cluster.kill(node).await;
    fs::remove_dir_all(&data).unwrap();
    copy_folder(&kept, &data).unwrap();
    scene.cluster.start(node);
    is_quarantined(scene, node).await;
    scene.seconds(2).await;
}

#[tokio::test]
async fn scenario_leader_whose_disk_went_back() {
    let Some(mut scene) = Scene::of("disks::scenario_leader_whose_disk_went_back", 3).await else { return };
    let leader = scene.leader(1).await;
    let via = scene.others(leader)[0];
    scene.load.enters("the disk of the leader goes back");
    put_back(&mut scene, via, leader, true).await;
    take_out(&mut scene, via, leader).await;
    scene.seconds(1).await;
    scene.ends().await;
}

#[tokio::test]
async fn scenario_voter_whose_disk_went_back() {
    let Some(mut scene) = Scene::of("disks::scenario_voter_whose_disk_went_back", 3).await else { return };
    let leader = scene.leader(1).await;
    let voter = scene.others(leader)[0];
    scene.load.enters("the disk of a voter goes back");
    put_back(&mut scene, leader, voter, false).await;
    take_out(&mut scene, leader, voter).await;
    scene.seconds(1).await;
    scene.ends().await;
}

#[tokio::test]
async fn scenario_learner_whose_disk_went_back() {
    let Some(network) = network("disks::scenario_learner_whose_disk_went_back").await else { return };
    let mut scene = with_a_learner("scenario_learner_whose_disk_went_back", network, 3).await;
    scene.load.enters("the disk of the learner goes back");
    put_back(&mut scene, 1, 4, false).await;
    take_out(&mut scene, 1, 4).await;
    scene.seconds(1).await;
    scene.ends().await;
}

/// A scenario with this many voters and one learner.
async fn with_a_learner(name: &str, network: Network, voters: u8) -> Scene {
    let mut cluster = configured(&network, voters + 1, voters).await;
    cluster.form().await;
    cluster.activate().await;
    let learner = u64::from(voters) + 1;
    cluster.start(learner);
    eventually("it can be asked", async || cluster.status(learner).await).await;
    cluster.add(1, learner).await;
    cluster.activate_members(1).await;
    cluster.settled(1).await;
    Scene::running(name, network, cluster).await
}

/// The only voter is lost: its learner reports this everywhere, and counts nothing.
#[tokio::test]
async fn scenario_lost_majority_with_learner() {
    let Some(network) = network("disks::scenario_lost_majority_with_learner").await else { return };
    let mut scene = with_a_learner("scenario_lost_majority_with_learner", network, 1).await;
    scene.load.enters("the only voter is lost");
    scene.cluster.kill(1).await;
    eventually("the learner is not ready", async || {
        let (status, _) = page(scene.cluster.node(2).metrics, "/readyz").await?;
        (status == 503).then_some(())
    })
    .await;
    let status = scene.cluster.admin(2, &words!["cluster", "status"]).await;
    assert_eq!(status.code, Some(1), "{}", status.stdout);
    let doctor = scene.cluster.admin(2, &words!["doctor"]).await;
    assert_eq!(doctor.code, Some(1), "{}", doctor.stdout);
    let product = scene.cluster.product("workstation-professional-2");
    let answered = product.activate(scene.cluster.node(2).clients, cmid(u64::MAX)).await;
    assert!(answered.is_err(), "a learner alone counts nothing");
    scene.load.enters("it is back");
    scene.cluster.start(1);
    scene.serves(2, 1).await;
    scene.serves(1, 2).await;
    scene.seconds(1).await;
    scene.ends().await;
}

/// The configuration of a node, changed for a copy in another node's namespace.
fn moved(text: &str, from: &Path, to: &Path, addresses: [&str; 2]) -> String {
    let [old, new] = addresses;
    let listens = |line: &str| line.starts_with("listen = ");
    let lines = text.replace(from.to_str().unwrap(), to.to_str().unwrap());
    let lines = lines.lines().map(|line| if listens(line) { line.replace(old, new) } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n")
}

/// A copy of a node's folder is started at another address while the node runs: the copy does not serve, and the
/// cluster goes on counting.
#[tokio::test]
async fn scenario_copied_folder() {
    let Some(network) = network("disks::scenario_copied_folder").await else { return };
    let cluster = configured(&network, 4, 3).await;
    let mut cluster = cluster;
    cluster.form().await;
    cluster.activate().await;
    cluster.settled(1).await;
    let hosts = (1..=3).map(|node| cluster.node(node).clients).collect();
    let mut scene = Scene::asked_at("scenario_copied_folder", network, cluster, hosts).await;
    scene.load.enters("node 3 is stopped, copied, and started");
    assert_eq!(scene.cluster.stop(3).await, Some(0));
    let copy = scene.cluster.node(4).data.clone();
    fs::remove_dir_all(&copy).unwrap();
    copy_folder(&scene.cluster.node(3).data, &copy).unwrap();
    let text = fs::read_to_string(&scene.cluster.node(3).config).unwrap();
    let [old, new] = [3, 4].map(|node| scene.cluster.node(node).clients.ip().to_string());
    let text = moved(&text, &scene.cluster.node(3).data, &copy, [&old, &new]);
    fs::write(&scene.cluster.node(4).config, text).unwrap();
    scene.cluster.start(3);
    scene.serves(1, 3).await;
    scene.load.enters("the copy is started, too");
    scene.cluster.start(4);
    is_quarantined(&scene, 4).await;
    scene.seconds(2).await;
    scene.load.enters("the leader is killed");
    let leader = scene.leader(1).await;
    let via = if leader == 1 { 2 } else { 1 };
    scene.cluster.kill(leader).await;
    scene.seconds(2).await;
    let product = scene.cluster.product("workstation-professional-2");
    let answered = product.activate(scene.cluster.node(4).clients, cmid(u64::MAX)).await;
    assert!(answered.is_err(), "a copy counts nothing");
    scene.cluster.kill(4).await;
    scene.cluster.start(leader);
    scene.serves(via, leader).await;
    scene.ends().await;
}
