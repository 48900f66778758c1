//! Cluster time under wrong clocks.

use activation::{clock::ClockAlarmKind, limits::CMID_LIFETIME_MS};
use replication::{ProposeError, ReadPoint};

use crate::cluster::{Cluster, SETTINGS, count, eventually, pace};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const FORTY_DAYS_MS: i64 = 40 * DAY_MS;
const MINUTE_MS: u64 = 60 * 1000;

const _: () = assert!(FORTY_DAYS_MS as u64 > CMID_LIFETIME_MS);

async fn read_point(cluster: &Cluster) -> ReadPoint {
    cluster.node(1).on(async |replica| replica.read_point().await).await.unwrap()
}

async fn alarm_is(cluster: &Cluster, raised: bool) {
    let what = if raised { "the alarm is raised" } else { "the alarm is over" };
    eventually(what, || async { read_point(cluster).await.clock_alarm.is_some() == raised }).await;
}

#[tokio::test]
async fn one_wrong_clock_in_three_changes_nothing() {
    for (wrong, error_ms) in [(1, FORTY_DAYS_MS), (2, -FORTY_DAYS_MS), (3, FORTY_DAYS_MS)] {
        let cluster = Cluster::unformed(3, SETTINGS, pace()).await;
        cluster.node(wrong).clock().set_error_ms(error_ms);
        cluster.form().await;
        let right = cluster.node(wrong % 3 + 1);
        for node in 1..=3 {
            let recorded = cluster.node(node).submit_at(node, right.clock_ms()).await.unwrap();
            assert_eq!(u64::from(count(&recorded)), node, "node {wrong} is wrong by {error_ms} ms");
            assert!(recorded.cluster_time_ms.abs_diff(right.clock_ms()) < MINUTE_MS, "cluster time is right");
        }
        assert_eq!(read_point(&cluster).await.clock_alarm, None);
    }
}

#[tokio::test]
async fn a_node_whose_clock_is_hours_off_does_not_lead_if_another_can() {
    let cluster = Cluster::activated(3).await;
    for error_ms in [5, -5].map(|hours| hours * 60 * 60 * 1000_i64) {
        let wrong = cluster.leader().await;
        cluster.node(wrong).clock().set_error_ms(error_ms);
        eventually("another node leads", || async { cluster.leader().await != wrong }).await;
        cluster.node(cluster.leader().await).submit(1).await.unwrap();
        cluster.node(wrong).clock().set_error_ms(0);
    }
}

#[tokio::test]
async fn a_jump_of_a_single_node_raises_the_alarm_and_nothing_expires_until_it_is_accepted() {
    let cluster = Cluster::activated(1).await;
    let node = cluster.node(1);
    for machine in 1..=3 {
        assert_eq!(u64::from(count(&node.submit(machine).await.unwrap())), machine);
    }
    let nothing = node.on(async |replica| replica.accept_clock(replica.request_id()).await).await;
    assert!(matches!(nothing, Err(ProposeError::Refused(_))), "without an alarm there is nothing to accept");

    node.clock().set_error_ms(FORTY_DAYS_MS);
    alarm_is(&cluster, true).await;
    let alarm = read_point(&cluster).await.clock_alarm.unwrap();
    assert!(alarm.target_ms.abs_diff(node.clock_ms()) < MINUTE_MS && alarm.samples == 1, "{alarm:?}");
    let recorded = node.submit(4).await.unwrap();
    assert_eq!(
        count(&recorded),
        4,
        "requests are answered, the machine's clock is compared to the nodes', and nothing expires"
    );
    assert!(recorded.cluster_time_ms.abs_diff(node.clock_ms()) < MINUTE_MS, "what is recorded has the clocks' time");

    let id = node.replica().request_id();
    for _ in 0..2 {
        // A repeated request gets the reply of the first.
        node.on(async move |replica| replica.accept_clock(id).await).await.unwrap();
    }
    alarm_is(&cluster, false).await;
    let recorded = node.submit(5).await.unwrap();
    assert_eq!(count(&recorded), 2, "the first three are forty days old now, the fourth renewed meanwhile");
    assert!(recorded.cluster_time_ms.abs_diff(node.clock_ms()) < MINUTE_MS);
}

#[tokio::test]
async fn an_accepted_jump_stays_accepted_after_a_restart() {
    let mut cluster = Cluster::activated(1).await;
    cluster.node(1).submit(1).await.unwrap();
    cluster.node(1).clock().set_error_ms(2 * DAY_MS);
    alarm_is(&cluster, true).await;
    cluster.node(1).on(async |replica| replica.accept_clock(replica.request_id()).await).await.unwrap();
    cluster.node_mut(1).stop_hard().await;
    cluster.node_mut(1).start().await;
    cluster.leader().await;
    let recorded = cluster.node(1).submit(2).await.unwrap();
    assert_eq!(count(&recorded), 2);
    assert_eq!(read_point(&cluster).await.clock_alarm, None);
    assert!(recorded.cluster_time_ms.abs_diff(cluster.node(1).clock_ms()) < MINUTE_MS);
}

#[tokio::test]
async fn synchronised_clocks_confirm_a_stop_of_forty_days_without_an_administrator() {
    let mut cluster = Cluster::activated(1).await;
    cluster.node(1).submit(1).await.unwrap();
    cluster.node_mut(1).stop_hard().await;
    cluster.node(1).clock().set_error_ms(FORTY_DAYS_MS);
    cluster.node(1).clock().set_synchronised(true);
    cluster.node_mut(1).start().await;
    cluster.leader().await;
    // The clocks may be sampled only after the first request.
    eventually("machines of forty days ago expire", || async { count(&cluster.node(1).submit(2).await.unwrap()) == 1 })
        .await;
    assert_eq!(read_point(&cluster).await.clock_alarm, None);
}

#[tokio::test]
async fn a_jump_that_is_undone_has_no_effect_if_the_clocks_are_synchronised() {
    let cluster = Cluster::activated(1).await;
    cluster.node(1).submit(1).await.unwrap();
    cluster.node(1).clock().set_error_ms(FORTY_DAYS_MS);
    alarm_is(&cluster, true).await;
    cluster.node(1).clock().set_error_ms(0);
    cluster.node(1).clock().set_synchronised(true);
    alarm_is(&cluster, false).await;
    let recorded = cluster.node(1).submit(2).await.unwrap();
    assert_eq!(count(&recorded), 2);
    assert!(recorded.cluster_time_ms.abs_diff(cluster.node(1).clock_ms()) < MINUTE_MS);
}

#[tokio::test]
async fn time_never_runs_backwards_by_itself_and_a_reset_lowers_it() {
    let cluster = Cluster::activated(1).await;
    let node = cluster.node(1);
    node.clock().set_error_ms(2 * DAY_MS);
    node.submit_at(1, node.clock_ms()).await.unwrap();
    alarm_is(&cluster, true).await;
    node.on(async |replica| replica.accept_clock(replica.request_id()).await).await.unwrap();
    alarm_is(&cluster, false).await;
    let ahead = node.submit(1).await.unwrap().cluster_time_ms;

    node.clock().set_error_ms(0);
    alarm_is(&cluster, true).await;
    let point = read_point(&cluster).await;
    assert_eq!(point.clock_alarm.unwrap().kind(), ClockAlarmKind::Ahead);
    assert!(point.ahead_ms.unwrap().abs_diff(2 * 24 * 60 * 60 * 1000) < MINUTE_MS);
    let recorded = node.submit(2).await.unwrap();
    assert_eq!(count(&recorded), 2, "a machine with the right time is still counted");
    assert!(recorded.cluster_time_ms >= ahead, "time ran backwards");
    node.on(async |replica| replica.reset_clock(replica.request_id()).await).await.unwrap();
    alarm_is(&cluster, false).await;
    let recorded = node.submit(2).await.unwrap();
    assert_eq!(count(&recorded), 2, "the machine recorded in the future is still counted");
    assert!(recorded.cluster_time_ms.abs_diff(node.clock_ms()) < MINUTE_MS);
    node.replica().view(activation::state::State::check_invariants);
}
