//! Cluster time from the clocks of the voters.

use std::time::Duration;

use activation::clock::{ClusterClock, NoTime, SkewReference, Stamp, Times};
use activation::limits::TIME_MS_MAX;
use proptest::prelude::*;

use super::world::{DAY_MS, HOUR_MS, START_MS};

const T: u64 = START_MS;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A leadership that began at second 0 and received these clock samples at once.
fn clock(voters: &[u64], samples: &[(u64, u64)]) -> ClusterClock {
    let mut clock = ClusterClock::new(voters.iter().copied(), at(0));
    for (node, wall_ms) in samples {
        clock.sample(*node, *wall_ms, false, at(0));
    }
    clock
}

fn normal(time_ms: u64) -> Result<Stamp, NoTime> {
    Ok(Stamp { time_ms, skew: SkewReference::ClusterTime, expiry_ms: None })
}

#[test]
fn time_is_the_lower_median_of_a_majority() {
    for (voters, samples, expected) in [
        (&[1][..], &[(1, T)][..], normal(T)),
        (&[1, 2, 3], &[(1, T + 5), (2, T + 1), (3, T + 9)], normal(T + 5)),
        (&[1, 2, 3], &[(1, T + 5), (2, T + 1)], normal(T + 1)),
        (&[1, 2, 3], &[(1, T)], Err(NoTime)),
        (&[1, 2, 3], &[], Err(NoTime)),
        (&[1, 2, 3, 4, 5], &[(1, T + 4), (2, T + 3), (3, T + 2), (4, T + 1)], normal(T + 2)),
        (&[1, 2, 3, 4, 5], &[(1, T + 4), (2, T + 3)], Err(NoTime)),
        (&[1, 2, 3], &[(1, T), (8, T), (9, T)], Err(NoTime)),
    ] {
        assert_eq!(clock(voters, samples).stamp(None, at(0)), expected, "{voters:?} {samples:?}");
    }
}

#[test]
fn one_wrong_clock_in_three_changes_nothing() {
    for wrong in [0, T - 400 * DAY_MS, T + 400 * DAY_MS, TIME_MS_MAX, u64::MAX] {
        let mut clock = clock(&[1, 2, 3], &[(1, T), (2, wrong), (3, T + 10)]);
        let Stamp { time_ms, skew, .. } = clock.stamp(Some(T - 1000), at(0)).unwrap();
        assert!((T..=T + 10).contains(&time_ms), "{wrong}: {time_ms}");
        assert_eq!((skew, clock.alarm()), (SkewReference::ClusterTime, None));
    }
}

#[test]
fn samples_age_with_the_monotonic_clock_and_say_nothing_after_sixty_seconds() {
    let clock = clock(&[1], &[(1, T)]);
    assert_eq!(clock.median(at(60)), Some(T + 60_000));
    assert_eq!(clock.median(at(60) + Duration::from_millis(1)), None);
}

#[test]
fn without_a_majority_time_continues_from_the_last_stamp() {
    let mut clock = clock(&[1, 2, 3], &[(1, T), (2, T)]);
    assert_eq!(clock.stamp(None, at(10)), normal(T + 10_000));
    assert_eq!(clock.stamp(Some(T + 10_000), at(3600)), normal(T + 3_600_000));
}

#[test]
fn without_a_majority_a_new_leader_continues_from_the_replicated_time() {
    let mut clock = clock(&[1, 2, 3], &[(1, T + DAY_MS)]);
    assert_eq!(clock.stamp(Some(T), at(7)), normal(T + 7_000));
}

#[test]
fn time_stands_still_while_the_clocks_are_behind_it() {
    let mut clock = clock(&[1], &[(1, T)]);
    assert_eq!(clock.stamp(Some(T + HOUR_MS), at(0)), normal(T + HOUR_MS));
    clock.sample(1, T + 60_000, false, at(60));
    assert_eq!(clock.stamp(Some(T), at(60)), normal(T + HOUR_MS), "nor does a smaller `previous` set it back");
}

#[test]
fn a_jump_beyond_a_day_needs_three_samples() {
    let jump = T + 2 * DAY_MS;
    for (voters, samples, jumps) in [
        (&[1][..], &[(1, jump)][..], false),
        (&[1, 2, 3], &[(1, jump), (2, jump)], false),
        (&[1, 2, 3], &[(1, jump), (2, jump), (3, jump)], true),
        (&[1, 2, 3], &[(1, jump), (2, jump), (3, T)], true),
        (&[1, 2, 3], &[(1, jump), (2, T), (3, T)], false),
    ] {
        let mut clock = clock(voters, samples);
        let stamp = clock.stamp(Some(T), at(0)).unwrap();
        assert_eq!(stamp.time_ms == jump, jumps, "{samples:?}");
    }
}

#[test]
fn a_day_and_no_more_is_taken_without_confirmation() {
    for (jump, alarmed) in [(DAY_MS, false), (DAY_MS + 1, true)] {
        let mut clock = clock(&[1], &[(1, T + jump)]);
        clock.stamp(Some(T), at(0)).unwrap();
        assert_eq!(clock.alarm().is_some(), alarmed, "{jump}");
    }
}

#[test]
fn elapsed_time_is_no_jump_even_for_a_leader_without_requests_for_days() {
    let days = 5 * 24 * 60 * 60;
    let mut idle = ClusterClock::new([1], at(0));
    idle.sample(1, T + 5 * DAY_MS, false, at(days));
    assert_eq!(idle.stamp(Some(T), at(days)), normal(T + 5 * DAY_MS), "since the leadership began");
    idle.sample(1, T + 10 * DAY_MS, false, at(2 * days));
    assert_eq!(idle.stamp(Some(T + 5 * DAY_MS), at(2 * days)), normal(T + 10 * DAY_MS), "since the last stamp");
}

#[test]
fn while_an_alarm_stands_time_stands_still_and_clients_are_compared_with_the_clocks() {
    let jump = T + 9 * DAY_MS;
    let mut clock = clock(&[1, 2, 3], &[(1, jump), (2, jump + 4)]);
    assert_eq!(
        clock.stamp(Some(T), at(1)),
        Ok(Stamp { time_ms: T, skew: SkewReference::Other(jump + 1000), expiry_ms: None })
    );
    let alarm = clock.alarm().unwrap();
    assert_eq!((alarm.previous_ms, alarm.target_ms, alarm.samples), (T, jump + 1000, 2));
    let stamp = clock.stamp(Some(T), at(120)).unwrap();
    assert_eq!(
        stamp,
        Stamp { time_ms: T, skew: SkewReference::LeaveOut, expiry_ms: None },
        "no majority, and still alarmed"
    );
    assert!(clock.alarm().is_some());
}

#[test]
fn an_alarm_ends_when_it_is_accepted_confirmed_or_no_longer_true() {
    let jump = T + 9 * DAY_MS;
    let alarmed = || {
        let mut clock = clock(&[1, 2, 3], &[(1, jump), (2, jump)]);
        clock.stamp(Some(T), at(0)).unwrap();
        assert!(clock.alarm().is_some());
        clock
    };
    let mut accepted = alarmed();
    assert_eq!(accepted.accept(at(1)), Some(jump + 1000));
    assert_eq!((accepted.alarm(), accepted.stamp(Some(T), at(2))), (None, normal(jump + 2000)));
    assert_eq!(accepted.accept(at(3)), None, "nothing is left to accept");

    let mut confirmed = alarmed();
    confirmed.sample(3, jump, false, at(0));
    assert_eq!((confirmed.stamp(Some(T), at(0)), confirmed.alarm()), (normal(jump), None));

    let mut over = alarmed();
    over.sample(1, T + 1000, false, at(1));
    over.sample(2, T + 1000, false, at(1));
    assert_eq!((over.stamp(Some(T), at(1)), over.alarm()), (normal(T + 1000), None));
}

#[test]
fn the_first_time_of_a_cluster_is_taken_without_alarm() {
    let mut clock = clock(&[1], &[(1, T)]);
    assert_eq!((clock.stamp(None, at(0)), clock.alarm()), (normal(T), None));
}

#[test]
fn after_a_reset_stamps_go_on_from_the_lower_time() {
    let mut clock = clock(&[1], &[(1, T)]);
    assert_eq!(clock.stamp(Some(T + 30 * DAY_MS), at(0)), normal(T + 30 * DAY_MS));
    clock.set(Times { time_ms: Some(T), expiry_ms: None }, at(1));
    assert_eq!(clock.stamp(Some(T), at(5)), normal(T + 5_000));
}

#[test]
fn a_node_that_no_longer_votes_is_no_longer_heard() {
    let mut clock = clock(&[1, 2, 3], &[(1, T), (2, T), (3, T)]);
    clock.set_voters([1, 4, 5]);
    assert_eq!(clock.median(at(0)), None);
    assert!(clock.offsets(at(0)).is_empty());
}

#[test]
fn offsets_tell_each_clocks_distance_from_the_median() {
    let clock = clock(&[1, 2, 3], &[(1, T), (2, T - 70), (3, T + 500)]);
    assert_eq!(clock.offsets(at(9)).into_iter().collect::<Vec<_>>(), [(1, 0), (2, -70), (3, 500)]);
}

proptest! {
    /// For any clock values and any sequence of samples, stamps, acceptances and elections.
    #[test]
    fn stamps_never_run_backwards_and_never_jump_unconfirmed(
        steps in proptest::collection::vec((0..6u64, any::<prop::sample::Index>(), 0..200_000u64), 1..60)
    ) {
        let walls = [0, T, T + HOUR_MS, T + 20 * DAY_MS, TIME_MS_MAX, u64::MAX];
        let mut clock = ClusterClock::new([1, 2, 3], at(0));
        let (mut now, mut previous): (Duration, Option<u64>) = (at(0), None);
        for (step, wall, elapsed_ms) in steps {
            now += Duration::from_millis(elapsed_ms);
            match step {
                0..=2 => clock.sample(step + 1, walls[wall.index(walls.len())], false, now),
                3 => clock = ClusterClock::new([1, 2, 3], now),
                4 if wall.index(10) == 0 => previous = clock.accept(now).max(previous),
                _ => if let Ok(stamp) = clock.stamp(previous, now) {
                    prop_assert!(Some(stamp.time_ms) >= previous);
                    prop_assert!(stamp.time_ms <= TIME_MS_MAX);
                    if clock.alarm().is_some() {
                        prop_assert_eq!(Some(stamp.time_ms), previous);
                        prop_assert_ne!(stamp.skew, SkewReference::ClusterTime);
                    }
                    previous = Some(stamp.time_ms);
                }
            }
        }
    }
}
