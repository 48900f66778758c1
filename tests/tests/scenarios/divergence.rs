//! The state on the disk of one node is altered.

use std::fs;

use activation::{
    clock::{SkewReference, Stamp},
    message::Record,
    state::{Batch, Command, State},
};
use api::log::v1::Snapshot;
use prost::Message;
use quorate_tests::{Product, cmid, eventually, page, value, words};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::scene::Scene;

/// A product of the application for which the load does not ask.
const PRODUCT: &str = "suite-standard-1";
const APPLICATION: &str = "suite";
/// How many machines asked for that product.
const MACHINES: u64 = 5;
const ALTERED: u64 = 10;

/// What a backup file has before its snapshot; a digest follows the snapshot.
const HEAD: &[u8] = b"quorate-backup 1\n";
const DIGEST_BYTES: usize = 32;

/// The snapshot of a backup, with additional machines that `node` counted.
fn altered(backup: &[u8], product: &Product, node: u64) -> Vec<u8> {
    let message = &backup[HEAD.len()..backup.len() - DIGEST_BYTES];
    let mut snapshot = Snapshot::decode(message).unwrap();
    let mut state = State::decode_snapshot(&snapshot.state).unwrap();
    let record = |machine: u64| {
        let request = product.request(cmid(1000 + machine));
        Record {
            node,
            publisher: request.publisher,
            product: request.product,
            cmid: request.cmid,
            machine: request.machine,
            machine_name: request.machine_name,
            virtual_machine: false,
            client_time_ms: request.client_time_ms,
        }
    };
    let stamp = Stamp { time_ms: 0, skew: SkewReference::LeaveOut, expiry_ms: None };
    let batch = Command::Batch(Batch { stamp, records: (0..ALTERED).map(record).collect() });
    state.apply(1, &batch.encode());
    snapshot.state = state.encode_snapshot().into();
    snapshot.digest = Sha256::digest(&snapshot.state).to_vec().into();
    // Without the seal, as an older version writes snapshots.
    snapshot.seal.clear();
    snapshot.encode_to_vec()
}

/// How many machines the application counts, as a node reports.
async fn count(scene: &Scene, via: u64) -> u64 {
    let counts = scene.cluster.administrate(via, &words!["count"]).await;
    let applications = counts["applications"].as_array().unwrap();
    applications.iter().find(|counted| counted["application"] == APPLICATION).unwrap()["count"].as_u64().unwrap()
}

/// Waits until the node, the doctor and the metrics report that the node's state differs.
async fn is_found_out(scene: &Scene, via: u64, node: u64) {
    let rejoin = format!("quorate cluster rejoin {node}");
    let page_of = async |path| page(scene.cluster.node(node).metrics, path).await;
    let text = eventually("the node is found out", async || {
        let (status, text) = page_of("/readyz").await?;
        (status == 503 && text.contains("differs from the majority's")).then_some(text)
    });
    assert!(text.await.contains(&rejoin), "readiness names the command");
    let (_, metrics) = page_of("/metrics").await.unwrap();
    assert_eq!(value(&metrics, "quorate_state_diverged"), Some(1.0));
    assert!(scene.cluster.said(node).contains(&rejoin), "the log names the command");
    let status = scene.cluster.led(via).await;
    let of_node = status["nodes"].as_array().unwrap().iter().find(|found| found["id"] == node).unwrap();
    assert_eq!(of_node["state"], "diverged", "{status}");
    let doctor = scene.cluster.admin(via, &words!["doctor"]).await;
    assert_eq!(doctor.code, Some(1));
    assert!(doctor.stdout.contains(&rejoin), "{}", doctor.stdout);
}

/// Machines are added to the state of a node while it is stopped. The node is reported as diverged, cannot lead,
/// takes over the majority's state, and then counts correctly under its old number.
#[tokio::test]
async fn scenario_a_state_that_differs() {
    let Some(mut scene) = Scene::of("divergence::scenario_a_state_that_differs", 3).await else { return };
    let product = scene.cluster.product(PRODUCT);
    let leader = scene.leader(1).await;
    let node = scene.others(leader)[0];
    let number = node.to_string();
    for machine in 1..=MACHINES {
        assert_eq!(product.count(scene.cluster.node(leader).clients, machine).await, machine);
    }

    scene.load.enters("the state of a follower is altered");
    let file = scene.cluster.path("altered.backup");
    scene.cluster.administrate(node, &words!["cluster", "backup", &file]).await;
    assert_eq!(scene.cluster.stop(node).await, Some(0));
    let snapshot = scene.cluster.node(node).data.join("snapshots").join(replication::SNAPSHOT_FILE);
    fs::write(snapshot, altered(&fs::read(&file).unwrap(), &product, node)).unwrap();
    scene.cluster.start(node);
    is_found_out(&scene, leader, node).await;

    scene.load.enters("it is asked to lead");
    let transferred = scene.cluster.admin(leader, &words!["cluster", "transfer", "--to", &number]).await;
    assert_eq!(transferred.code, Some(1), "{}", transferred.stdout);
    scene.seconds(1).await;
    for other in scene.others(node) {
        assert_eq!(count(&scene, other).await, MACHINES, "node {other}");
    }

    scene.load.enters("it takes over the majority's state");
    let via = scene.others(node).into_iter().find(|other| *other != leader).unwrap();
    let rejoined = scene.cluster.administrate(via, &words!["cluster", "rejoin", &number]).await;
    assert_eq!(rejoined["voters"].as_array().map(Vec::len), Some(3), "{rejoined}");
    scene.serves(leader, node).await;
    assert_eq!(product.count(scene.cluster.node(node).clients, MACHINES + 1).await, MACHINES + 1);
    assert_eq!(count(&scene, node).await, MACHINES + 1);
    let again = scene.cluster.admin(via, &words!["cluster", "rejoin", &number]).await;
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("does not differ from the majority's"), "{}", again.stderr);
    let audit: Value = scene.cluster.administrate(via, &words!["cluster", "audit"]).await;
    assert!(audit.to_string().contains(&format!("have node {node}, whose state differs")), "{audit}");
    scene.load.enters("it leads");
    scene.cluster.administrate(leader, &words!["cluster", "transfer", "--to", &number]).await;
    scene.seconds(1).await;
    scene.ends().await;
}
