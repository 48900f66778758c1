//! Upgrades and downgrades of the format.

use activation::{
    audit::Origin,
    state::{Act, Command, Format},
};

use replication::{Pace, ProposeError, RaftSettings};

use crate::{
    cluster::{Cluster, SETTINGS, count, eventually},
    world,
};

fn audited(act: Act) -> Command {
    Command::Audited { origin: Origin::new("Ada", "192.0.2.7", world::START_MS), act }
}

fn set(format: Format) -> Command {
    audited(Act::Command(Box::new(Command::SetFormat { format })))
}

async fn propose(cluster: &Cluster, via: u64, command: Command) -> Result<u64, ProposeError> {
    cluster.node(via).on(async move |replica| replica.propose(&command).await).await
}

fn acts(cluster: &Cluster, node: u64) -> Vec<String> {
    cluster.node(node).replica().view(|state| state.audit().entries().map(|entry| entry.act.to_string()).collect())
}

#[tokio::test]
async fn a_lowered_format_leaves_no_newer_data_on_any_disk_and_can_be_raised_again() {
    let mut cluster = Cluster::activated(3).await;
    let newest = Format::NEWEST;
    cluster.assert_equal_states().await;
    for node in 1..=3 {
        assert_eq!(cluster.node(node).replica().view(|state| state.format()), newest, "it began with the newest");
    }
    let (lead, follower) = (cluster.leader().await, cluster.follower().await);
    let forget = audited(Act::Command(Box::new(Command::Forget { node: 9 })));
    propose(&cluster, follower, forget.clone()).await.unwrap();
    cluster.assert_equal_states().await;
    assert_eq!(acts(&cluster, 1), ["forget node 9"]);

    let lowered = propose(&cluster, follower, set(Format::AUDITED)).await.unwrap();
    eventually("nothing newer is left", || async {
        (1..=3).all(|node| {
            let replica = cluster.node(node).replica();
            replica.stored_format() == Format::AUDITED && (1..=lowered).all(|index| replica.command_at(index).is_none())
        })
    })
    .await;
    assert_eq!(count(&cluster.node(follower).submit(1).await.unwrap()), 1);
    // An administrator's act is written in that format, without the id that it has since format 3.
    let index = propose(&cluster, follower, forget.clone()).await.unwrap();
    let held = cluster.node(lead).replica().command_at(index).unwrap();
    assert_eq!(Command::decode(&held), Ok(forget));
    let noted = audited(Act::Note { act: "something".into(), refused: String::new() });
    propose(&cluster, follower, noted).await.unwrap();
    cluster.assert_equal_states().await;
    // An act that was recorded as a code is kept as text, which every version reads.
    let kept = ["code 9: 9", "set format 2", "forget node 9", "something"];
    assert_eq!(acts(&cluster, 1), kept);

    cluster.node_mut(follower).stop().await;
    cluster.node_mut(follower).start().await;
    assert_eq!(cluster.node(follower).replica().stored_format(), Format::AUDITED);
    propose(&cluster, follower, set(newest)).await.unwrap();
    assert_eq!(count(&cluster.node(follower).submit(2).await.unwrap()), 2);
    cluster.assert_equal_states().await;
    assert_eq!(acts(&cluster, follower), [kept.as_slice(), &["set format 3"]].concat());
    assert_eq!(cluster.node(follower).replica().stored_format(), newest);
}

#[tokio::test]
async fn a_format_without_the_audit_record_is_refused() {
    let cluster = Cluster::activated(1).await;
    let forget = audited(Act::Command(Box::new(Command::Forget { node: 9 })));
    propose(&cluster, 1, forget).await.unwrap();
    let refused = propose(&cluster, 1, set(Format::OLDEST)).await.unwrap_err().to_string();
    assert!(refused.contains("format 1 does not support the audit record"), "{refused}");
    assert!(refused.contains("`quorate cluster format set 2`"), "{refused}");
    assert_eq!(cluster.node(1).replica().view(|state| state.format()), Format::NEWEST);
    assert_eq!(acts(&cluster, 1), ["forget node 9"]);
}

#[tokio::test]
async fn a_format_is_set_only_while_every_member_reports_that_it_reads_it() {
    let mut cluster = Cluster::activated(3).await;
    let follower = cluster.follower().await;
    let leader = cluster.leader().await;
    cluster.node_mut(follower).stop_hard().await;
    let refused = propose(&cluster, leader, set(Format::AUDITED)).await.unwrap_err().to_string();
    assert!(refused.contains("every member must read format 2: no node answers at"), "{refused}");
    assert_eq!(cluster.node(leader).replica().view(|state| state.format()), Format::NEWEST);
    assert!(acts(&cluster, leader).is_empty());
}

#[cfg(feature = "fault-injection")]
#[tokio::test]
async fn a_log_that_the_test_hook_keeps_can_be_read_after_a_lowered_format_purged_it() {
    let settings = RaftSettings { keep_purged: true, ..SETTINGS };
    let mut cluster = Cluster::activated_at(1, settings, Pace::default()).await;
    assert_eq!(count(&cluster.node(1).submit(1).await.unwrap()), 1);
    let lowered = propose(&cluster, 1, set(Format::AUDITED)).await.unwrap();
    eventually("nothing newer is left", || async { cluster.node(1).replica().stored_format() == Format::AUDITED })
        .await;
    assert!((1..=lowered).all(|index| cluster.node(1).replica().command_at(index).is_none()));
    assert_eq!(count(&cluster.node(1).submit(2).await.unwrap()), 2);

    cluster.node_mut(1).stop().await;
    let commands = {
        let node = cluster.node(1);
        replication::read_commands(&*node.open_disk().await).unwrap()
    };
    let batches = commands.values().filter_map(|command| match Command::decode(command) {
        Ok(Command::Batch(batch)) => Some(batch.records.len()),
        _ => None,
    });
    assert_eq!(batches.sum::<usize>(), 2);
    assert!(commands.contains_key(&lowered));
}
