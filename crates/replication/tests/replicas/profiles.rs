//! Changes of the election profile while the cluster records requests.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use activation::{
    message::Record,
    settings::{ElectionProfile, Scope, Setting, SettingChange},
    state::{Command, Format},
};
use replication::{Pace, RaftSettings, Recorded, Replica, Unavailable};
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};

use crate::{
    cluster::{Cluster, SETTINGS, TIMEOUT, count, eventually, pace},
    world,
};
use ElectionProfile::{Far, Near};

/// Settings without own timeouts: those of the profile apply.
const FOLLOWING: RaftSettings = RaftSettings {
    heartbeat_interval: Duration::ZERO,
    election_timeout_min: Duration::ZERO,
    election_timeout_max: Duration::ZERO,
    ..SETTINGS
};

/// A pace that keeps every entry in the log, where a test looks for it.
fn keeping() -> Pace {
    Pace { snapshot_every_entries: 100_000, ..pace() }
}

async fn cluster(size: u64) -> Cluster {
    Cluster::activated_at(size, FOLLOWING, keeping()).await
}

fn set_profile(profile: ElectionProfile) -> Command {
    let change = SettingChange::parse(Scope::Cluster, Setting::RaftProfile, &profile.to_string()).unwrap();
    Command::ChangeSettings { node: None, changes: vec![change] }
}

async fn set(cluster: &Cluster, via: u64, profile: ElectionProfile) {
    cluster.node(via).on(async move |replica| replica.propose(&set_profile(profile)).await).await.unwrap();
}

async fn all_have(cluster: &Cluster, profile: ElectionProfile) {
    eventually(&format!("all running nodes have the profile {profile}"), || async {
        cluster.running().all(|node| node.replica().election_profile() == profile)
    })
    .await;
}

type Answered = Result<(Record, Recorded), Unavailable>;

/// Machines that send requests to every running node, each once, one after the other.
struct Load {
    stopping: Arc<AtomicBool>,
    machines: Arc<AtomicU64>,
    of_node: BTreeMap<u64, JoinHandle<Vec<Answered>>>,
}

impl Load {
    fn on(cluster: &Cluster) -> Self {
        let (stopping, machines) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(1)));
        let asking = cluster.running().map(|node| {
            let own = (node.number(), node.handle().clone(), node.replica().clone());
            let (stopping, machines) = (Arc::clone(&stopping), Arc::clone(&machines));
            (node.number(), tokio::spawn(ask(own, node.clock_ms(), stopping, machines)))
        });
        let of_node = asking.collect();
        Self { stopping, machines, of_node }
    }

    /// Waits until this many more machines have sent requests.
    async fn more(&self, machines: u64) {
        let asked = || self.machines.load(Ordering::Relaxed);
        let enough = asked() + machines;
        eventually("clients send requests", || async { asked() >= enough }).await;
    }

    /// Stops the load, and returns the acknowledged requests. Every request must have been acknowledged, unless a
    /// node was `killed`: then there may be no leader for longer than the deadline of a request.
    async fn stop(self, killed: Option<u64>) -> Vec<(Record, Recorded)> {
        self.stopping.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for (node, asked) in self.of_node {
            let answered = asked.await.unwrap();
            for answer in answered {
                match answer {
                    Ok(answer) => acknowledged.push(answer),
                    Err(error) => assert!(killed.is_some(), "node {node} did not answer: {error}"),
                }
            }
        }
        acknowledged
    }
}

async fn ask(
    (node, handle, replica): (u64, Handle, Replica),
    time_ms: u64,
    stopping: Arc<AtomicBool>,
    machines: Arc<AtomicU64>,
) -> Vec<Answered> {
    let mut answered = Vec::new();
    while !stopping.load(Ordering::Relaxed) {
        let record = world::record(node, machines.fetch_add(1, Ordering::Relaxed), time_ms);
        let (asked, replica) = (record.clone(), replica.clone());
        // A node that was killed runs no tasks any more.
        let Ok(answer) = handle.spawn(async move { replica.submit(&asked).await }).await else { break };
        answered.push(answer.map(|recorded| (record, recorded)));
        let _pause = timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
    }
    answered
}

/// Asserts that every running node has all acknowledged requests at the acknowledged positions.
async fn assert_all_are_recorded(cluster: &Cluster, acknowledged: &[(Record, Recorded)]) {
    cluster.assert_equal_states().await;
    for node in cluster.running() {
        for (record, recorded) in acknowledged {
            let held = node.replica().command_at(recorded.log_index).expect("the entry is in the log");
            let Ok(Command::Batch(batch)) = Command::decode(&held) else {
                panic!("entry {} is no batch", recorded.log_index)
            };
            assert_eq!(&batch.records[recorded.offset as usize], record, "node {}", node.number());
        }
    }
}

#[tokio::test]
async fn a_cluster_changes_its_profile_under_load_and_answers_every_request() {
    let mut cluster = cluster(3).await;
    let load = Load::on(&cluster);
    for profile in [Far, Near] {
        load.more(30).await;
        let via = cluster.follower().await;
        set(&cluster, via, profile).await;
        all_have(&cluster, profile).await;
        cluster.leader().await;
    }
    load.more(30).await;
    let acknowledged = load.stop(None).await;
    assert_all_are_recorded(&cluster, &acknowledged).await;
    // Every acknowledged request is on the disk.
    for node in 1..=3 {
        cluster.node_mut(node).stop_hard().await;
    }
    for node in 1..=3 {
        cluster.node_mut(node).start().await;
    }
    assert_all_are_recorded(&cluster, &acknowledged).await;
}

#[tokio::test]
async fn the_tolerated_round_trip_follows_the_profile_and_is_known_right_after_a_start() {
    let mut cluster = cluster(3).await;
    let bearable = |cluster: &Cluster| cluster.node(2).replica().round_trip_max();
    assert_eq!(bearable(&cluster), Duration::from_millis(75));
    set(&cluster, 1, Far).await;
    all_have(&cluster, Far).await;
    assert_eq!(bearable(&cluster), Duration::from_millis(300));
    let follower = cluster.follower().await;
    cluster.node_mut(follower).stop_hard().await;
    cluster.node_mut(follower).start().await;
    all_have(&cluster, Far).await;
    assert!(cluster.node(follower).submit(1).await.is_ok());
}

#[tokio::test]
async fn a_lone_voter_changes_its_profile_and_answers_again_within_the_deadline_of_a_request() {
    let cluster = cluster(1).await;
    let load = Load::on(&cluster);
    for profile in [Far, Near] {
        load.more(10).await;
        set(&cluster, 1, profile).await;
        all_have(&cluster, profile).await;
        eventually("it leads again", || async { cluster.node(1).replica().cluster().leader == Some(1) }).await;
    }
    load.more(10).await;
    let acknowledged = load.stop(None).await;
    assert_all_are_recorded(&cluster, &acknowledged).await;
}

#[tokio::test]
async fn a_learner_follows_the_profile_too() {
    let cluster = Cluster::unformed(2, FOLLOWING, keeping()).await;
    let alone = BTreeMap::from([(1, cluster.node(1).address())]);
    cluster.node(1).on(async move |replica| replica.bootstrap(&alone, TIMEOUT).await).await.unwrap();
    for command in world::activation(1..=2) {
        cluster.node(1).on(async move |replica| replica.propose(&command).await).await.unwrap();
    }
    let address = cluster.node(2).address();
    cluster.node(1).on(async move |replica| replica.add(2, &address).await).await.unwrap();
    assert_eq!(cluster.node(2).replica().cluster().voters, [1], "node 2 is a learner");
    let load = Load::on(&cluster);
    for profile in [Far, Near] {
        load.more(10).await;
        set(&cluster, 2, profile).await;
        all_have(&cluster, profile).await;
    }
    load.more(10).await;
    let acknowledged = load.stop(None).await;
    assert_all_are_recorded(&cluster, &acknowledged).await;
}

#[tokio::test]
async fn a_leader_that_is_killed_during_the_change_costs_no_acknowledged_request() {
    for profile in [Far, Near] {
        let mut cluster = cluster(3).await;
        if profile == Near {
            set(&cluster, 1, Far).await;
            all_have(&cluster, Far).await;
        }
        let load = Load::on(&cluster);
        load.more(30).await;
        let leader = cluster.leader().await;
        let via = cluster.follower().await;
        set(&cluster, via, profile).await;
        let others = [1, 2, 3].into_iter().filter(|node| *node != leader);
        let is_under_way = || async {
            let mut others = others.clone();
            profile == Near || others.any(|node| cluster.node(node).replica().election_profile() == Far)
        };
        eventually("the change has begun", is_under_way).await;
        cluster.node_mut(leader).stop_hard().await;
        all_have(&cluster, profile).await;
        cluster.leader().await;
        cluster.node_mut(leader).start().await;
        all_have(&cluster, profile).await;
        load.more(30).await;
        let acknowledged = load.stop(Some(leader)).await;
        assert_all_are_recorded(&cluster, &acknowledged).await;
    }
}

#[tokio::test]
async fn a_profile_in_a_nodes_configuration_takes_effect_without_a_majority() {
    let mut cluster = cluster(3).await;
    cluster.node(1).on(async |replica| replica.keep_to_profile(Some(Far))).await;
    let profile_of = |cluster: &Cluster, node: u64| cluster.node(node).replica().election_profile();
    eventually("node 1 has its own", || async { profile_of(&cluster, 1) == Far }).await;
    assert_eq!([2, 3].map(|node| profile_of(&cluster, node)), [Near, Near]);
    // The node's own profile overrides the cluster's setting; without it the setting applies again.
    cluster.node(1).on(async |replica| replica.keep_to_profile(Some(Near))).await;
    set(&cluster, 2, Far).await;
    eventually("the others follow the setting", || async {
        [2, 3].map(|node| profile_of(&cluster, node)) == [Far, Far]
    })
    .await;
    eventually("node 1 keeps to its own", || async { profile_of(&cluster, 1) == Near }).await;
    cluster.node(1).on(async |replica| replica.keep_to_profile(None)).await;
    all_have(&cluster, Far).await;
    assert_eq!(count(&cluster.node(1).submit(1).await.unwrap()), 1);
    // Nothing can be committed: each running node gets its own profile.
    cluster.node_mut(2).stop_hard().await;
    cluster.node_mut(3).stop_hard().await;
    cluster.node(1).on(async |replica| replica.keep_to_profile(Some(Near))).await;
    eventually("node 1 has its own", || async { profile_of(&cluster, 1) == Near }).await;
    cluster.node_mut(2).start().await;
    cluster.node(2).on(async |replica| replica.keep_to_profile(Some(Near))).await;
    eventually("it counts again", || async { cluster.node(1).submit(2).await.is_ok() }).await;
    cluster.assert_equal_states().await;
}

#[tokio::test]
async fn a_format_that_does_not_support_the_profile_refuses_it_and_names_the_remedy() {
    let cluster = cluster(3).await;
    let lower = Command::SetFormat { format: Format::new(2).unwrap() };
    set(&cluster, 1, Far).await;
    all_have(&cluster, Far).await;
    let refused = cluster.node(1).on({
        let lower = lower.clone();
        async move |replica| replica.propose(&lower).await
    });
    let refused = refused.await.unwrap_err().to_string();
    assert!(refused.contains("raft.profile") && refused.contains("near"), "{refused}");
    set(&cluster, 1, Near).await;
    all_have(&cluster, Near).await;
    cluster.node(1).on(async move |replica| replica.propose(&lower).await).await.unwrap();
    let refused = cluster.node(1).on(async move |replica| replica.propose(&set_profile(Far)).await).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("`quorate cluster format set 3`"), "{refused}");
    assert_eq!(cluster.node(1).replica().election_profile(), Near);
}
