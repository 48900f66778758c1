//! Forming a cluster, with the command given repeatedly and on several nodes.

use std::fs;

use quorate_tests::{Cluster, Plan, Quorate, eventually};

use crate::QUORATE;

#[tokio::test]
async fn nodes_that_are_all_started_with_bootstrap_form_one_cluster_each_time() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    for _ in 0..2 {
        for node in 1..=3 {
            cluster.start_bootstrapping(node);
        }
        let leader = eventually("a leader is elected", async || cluster.standing(1).await?.leader).await;
        for node in 1..=3 {
            let runs = format!("node {node} runs in that cluster");
            eventually(&runs, async || (cluster.standing(node).await?.leader? == leader).then_some(())).await;
            assert!(cluster.has_ended(node).is_none());
        }
        for node in 1..=3 {
            assert_eq!(cluster.stop(node).await, Some(0), "{}", cluster.said(node));
        }
    }
}

#[tokio::test]
async fn while_it_waits_a_node_names_those_that_it_waits_for() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    cluster.start_bootstrapping(1);
    for missing in [2, 3] {
        let words = format!("node={missing}");
        eventually(&format!("the log names node {missing}"), async || {
            let said = cluster.said(1);
            said.lines().any(|line| line.contains("forming the cluster waits") && line.contains(&words)).then_some(())
        })
        .await;
    }
    for node in [2, 3] {
        cluster.start(node);
    }
    cluster.led(1).await;
}

#[tokio::test]
async fn a_node_without_a_cluster_is_told_how_it_gets_into_one() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    let says = async |cluster: &Cluster, words: &str| {
        eventually(words, async || cluster.said(1).contains(words).then_some(())).await;
    };
    cluster.start(1);
    says(&cluster, "start one node of the new cluster with --bootstrap").await;
    assert_eq!(cluster.stop(1).await, Some(0));

    // As `host init --join` writes it: the configuration has no list of nodes that form a cluster.
    let config = &cluster.node(1).config;
    let text = fs::read_to_string(config).unwrap();
    let joined: Vec<_> = text.lines().filter(|line| !line.starts_with("members = ")).collect();
    assert_eq!(joined.len() + 1, text.lines().count());
    fs::write(config, joined.join("\n")).unwrap();
    let before = cluster.said(1).len();
    cluster.start(1);
    says(&cluster, "quorate cluster add 1=HOST:PORT").await;
    assert!(!cluster.said(1)[before..].contains("--bootstrap"));
    assert_eq!(cluster.stop(1).await, Some(0));
}
