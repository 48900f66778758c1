//! The identity of the machine to which a node's keys are bound.

use std::{fs, path::Path};

use activation::status::Status;
use client::ActivateError;
use quorate_tests::{Cluster, Plan, cmid, eventually, words};

use super::{
    WORKSTATION,
    publisher::{Publisher, becomes, listed, quorate, text},
};

/// Writes the files that describe a machine with this disk.
fn describe(root: &Path, disk: &str) {
    for (file, text) in [
        ("proc/self/mountinfo", "28 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"),
        ("sys/dev/block/8:1/serial", disk),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("proc/cpuinfo", "model name : Example 9000\n"),
    ] {
        fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        fs::write(root.join(file), text).unwrap();
    }
}

#[tokio::test]
async fn r31_a_node_on_a_changed_machine_is_not_activated_until_it_is_activated_again() {
    let mut cluster = Cluster::configured(&quorate(), Plan::of(1)).await;
    let root = cluster.path("machine");
    describe(&root, "disk 1");
    cluster.set_variable(1, "QUORATE_TEST_MACHINE_ROOT", &root);
    cluster.form().await;
    let publisher = Publisher::of(&cluster).await;
    let key = publisher.install_key(&[]).await;
    publisher.activate(&[]).await;
    let product = cluster.product(WORKSTATION);
    assert_eq!(product.count(cluster.node(1).clients, 1).await, 1);
    assert_eq!(listed(&cluster, &key).await, [(1, "activated".into(), Some(9))]);

    assert_eq!(cluster.stop(1).await, Some(0));
    describe(&root, "disk 2");
    cluster.start(1);
    let address = cluster.node(1).clients;
    let refused = eventually("the node answers", async || match product.activate(address, cmid(2)).await {
        Err(ActivateError::Refused { status, .. }) if status != Status::HOST_UNAVAILABLE => Some(status),
        _ => None,
    });
    assert_eq!(refused.await, Status::HOST_NOT_ACTIVATED);
    eventually("the node says why it is not ready", async || {
        let status = cluster.led(1).await;
        text(&status, "/nodes/0/not_ready_because").contains("the machine changed: activate again").then_some(())
    })
    .await;
    assert_eq!(listed(&cluster, &key).await, [(1, "changed".into(), Some(9))]);
    assert!(cluster.process(1).said().contains("quorate key activate"), "{}", cluster.process(1).said());

    let publisher = Publisher { cluster: &cluster, folder: "publisher" };
    let silent = cluster.admin(1, &words!["key", "activate", "--offline", cluster.path("silent")]).await;
    assert_eq!(silent.code, Some(1), "no reactivation is spent unasked: {}", silent.stdout);
    let warning = format!("node 1 with key {key}: 9 left");
    assert!(silent.stderr.contains(&warning) && silent.stderr.contains("--reactivate"), "{}", silent.stderr);
    assert!(!cluster.path("silent").exists());
    publisher.activate(&["--reactivate"]).await;
    becomes(&cluster, &key, 1, "activated", 8).await;
    assert_eq!(product.count(address, 2).await, 2, "what was refused was not counted, and nothing is lost");
    let nothing = cluster.admin(1, &words!["key", "activate", "--offline", cluster.path("r")]).await;
    assert!(nothing.stderr.contains("no node to activate"), "{}", nothing.stderr);
}

#[tokio::test]
async fn a_host_that_is_told_by_its_data_folder_stays_activated_on_another_machine_unless_its_key_forbids_that() {
    let mut cluster = Cluster::configured(&quorate(), Plan::of(1)).await;
    let root = cluster.path("machine");
    describe(&root, "disk 1");
    // A container: its root file system consists of layers, and changes with the image.
    fs::write(root.join("proc/self/mountinfo"), "28 1 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/a\n")
        .unwrap();
    cluster.set_variable(1, "QUORATE_TEST_MACHINE_ROOT", &root);
    cluster.form().await;
    let publisher = Publisher::of(&cluster).await;
    let strict = publisher.install_key(&["--identity", "machine"]).await;
    let [request, answer] = ["strict.bin", "strict-answer.bin"].map(|name| cluster.path(name));
    cluster.administrate(1, &words!["key", "activate", "--offline", &request]).await;
    let refused = publisher.answer(&request, &answer).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("node 1 is identified by its data folder"), "{}", refused.stderr);
    assert!(refused.stderr.contains("`identity = \"machine\"`"), "{}", refused.stderr);

    let key = publisher.install_key(&[]).await;
    publisher.activate(&["--key", &key]).await;
    becomes(&cluster, &key, 1, "activated", 9).await;
    assert_eq!(cluster.stop(1).await, Some(0));
    fs::write(root.join("etc/machine-id"), "fedcba9876543210fedcba9876543210\n").unwrap();
    fs::write(root.join("proc/cpuinfo"), "model name : Example 10000\n").unwrap();
    cluster.start(1);
    cluster.settled(1).await;
    becomes(&cluster, &key, 1, "activated", 9).await;

    // The node is now identified by its whole machine, as the strict key requires; the key that it has already keeps
    // its activation.
    assert_eq!(cluster.stop(1).await, Some(0));
    cluster.set_variable(1, "QUORATE_IDENTITY", "machine");
    cluster.start(1);
    cluster.settled(1).await;
    becomes(&cluster, &key, 1, "activated", 9).await;
    let publisher = Publisher { cluster: &cluster, folder: "publisher" };
    let again =
        words!["key", "activate", "--offline", &request, "--key", &strict, "--node", "1", "--new-key", "--force"];
    cluster.administrate(1, &again).await;
    let answered = publisher.answer(&request, &answer).await;
    assert_eq!(answered.code, Some(0), "{}", answered.stderr);
    cluster.administrate(1, &words!["key", "activate", "--answer", &answer]).await;
    becomes(&cluster, &strict, 1, "activated", 9).await;
}
