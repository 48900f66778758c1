//! The two clocks of format 3 on the leader.

use std::time::Duration;

use activation::clock::{ClockAlarmKind, ClusterClock, NoTime, SkewReference, Stamp, Times};
use activation::limits::{CLOCK_AGREEMENT_MS, CLOCK_JUMP_MS_MAX, TIME_MS_MAX};
use proptest::prelude::*;

use super::world::{DAY_MS, HOUR_MS, START_MS};

const T: u64 = START_MS;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A leadership that began at second 0 and received these samples at once: node, time, whether it is synchronised.
fn clock(voters: &[u64], samples: &[(u64, u64, bool)]) -> ClusterClock {
    let mut clock = ClusterClock::new(voters.iter().copied(), at(0));
    for (node, wall_ms, is_synchronised) in samples {
        clock.sample(*node, *wall_ms, *is_synchronised, at(0));
    }
    clock
}

fn times(time_ms: u64, expiry_ms: u64) -> Times {
    Times { time_ms: Some(time_ms), expiry_ms: Some(expiry_ms) }
}

fn stamp(time_ms: u64, target_ms: Option<u64>, expiry_ms: u64) -> Result<Stamp, NoTime> {
    let skew = target_ms.map_or(SkewReference::LeaveOut, SkewReference::Other);
    Ok(Stamp { time_ms, skew, expiry_ms: Some(expiry_ms) })
}

#[test]
fn cluster_time_follows_the_clocks_and_expiry_follows_what_is_confirmed() {
    let far = T + 40 * DAY_MS;
    for (case, voters, samples, expected) in [
        ("one, synchronised", &[1][..], &[(1, far, true)][..], stamp(far, Some(far), far)),
        ("one, not synchronised", &[1], &[(1, far, false)], stamp(far, Some(far), T)),
        (
            "two of three, synchronised",
            &[1, 2, 3],
            &[(1, far, true), (2, far, true), (3, T, true)],
            stamp(far, Some(far), far),
        ),
        (
            "one of three is synchronised",
            &[1, 2, 3],
            &[(1, far, true), (2, far, false), (3, far, false)],
            stamp(far, Some(far), T),
        ),
        ("one is wrong", &[1, 2, 3], &[(1, T, true), (2, T, true), (3, far, true)], stamp(T, Some(T), T)),
        (
            "they do not agree",
            &[1, 2, 3],
            &[(1, far, true), (2, far + CLOCK_AGREEMENT_MS + 1, true)],
            stamp(far, Some(far), T),
        ),
        ("behind", &[1], &[(1, T - HOUR_MS, true)], stamp(T, Some(T - HOUR_MS), T)),
    ] {
        assert_eq!(clock(voters, samples).stamp_two_clocks(times(T, T), at(0)), expected, "{case}");
    }
    for replicated in [Times::default(), times(T, T)] {
        let first = clock(&[1, 2, 3], &[(1, T, true)]).stamp_two_clocks(replicated, at(0));
        assert_eq!(first, Err(NoTime), "how long no node led is not known without a majority's clocks");
    }
    let first = clock(&[1], &[(1, T, false)]).stamp_two_clocks(Times::default(), at(0));
    assert_eq!(first, stamp(T, Some(T), T), "the first time of a cluster");
}

#[test]
fn unconfirmed_expiry_continues_with_the_monotonic_clock_and_not_beyond_cluster_time() {
    let mut clock = clock(&[1], &[(1, T + 9 * DAY_MS, false)]);
    assert_eq!(clock.stamp_two_clocks(times(T, T), at(0)), stamp(T + 9 * DAY_MS, Some(T + 9 * DAY_MS), T));
    clock.sample(1, T + 9 * DAY_MS + 30_000, false, at(30));
    let later = clock.stamp_two_clocks(times(T, T), at(30)).unwrap();
    assert_eq!(later.expiry_ms, Some(T + 30_000));
    let silent = clock.stamp_two_clocks(times(T, T), at(3630)).unwrap();
    assert_eq!(
        silent,
        Stamp { time_ms: later.time_ms + 3_600_000, skew: SkewReference::LeaveOut, expiry_ms: Some(T + 3_630_000) }
    );
}

#[test]
fn the_alarms_are_a_jump_that_nothing_confirms_and_time_that_is_ahead() {
    for (case, wall_ms, is_synchronised, replicated, expected) in [
        ("nothing", T, false, times(T, T), None),
        ("a day", T + CLOCK_JUMP_MS_MAX, false, times(T, T), None),
        ("more", T + CLOCK_JUMP_MS_MAX + 1, false, times(T, T), Some(ClockAlarmKind::Jump)),
        ("confirmed", T + 40 * DAY_MS, true, times(T, T), None),
        ("a little ahead", T, true, times(T + CLOCK_AGREEMENT_MS, T), None),
        ("ahead", T, false, times(T + CLOCK_AGREEMENT_MS + 1, T), Some(ClockAlarmKind::Ahead)),
        ("far ahead", T, false, times(T + 40 * DAY_MS, T), Some(ClockAlarmKind::Ahead)),
    ] {
        let mut clock = clock(&[1], &[(1, wall_ms, is_synchronised)]);
        clock.stamp_two_clocks(replicated, at(0)).unwrap();
        assert_eq!(clock.alarm().map(|alarm| alarm.kind()), expected, "{case}");
    }
}

#[test]
fn time_is_set_back_without_a_hand_where_synchronised_clocks_say_so_and_nothing_expired_by_it() {
    let ahead = T + 8 * HOUR_MS;
    for (case, is_synchronised, replicated, expected) in [
        ("synchronised", true, times(ahead, T - 1000), Some(T)),
        ("not synchronised", false, times(ahead, T - 1000), None),
        ("requests expired by it", true, times(ahead, T + 1), None),
        ("not ahead", true, times(T + 1000, T), None),
    ] {
        let mut clock = clock(&[1], &[(1, T, is_synchronised)]);
        clock.stamp_two_clocks(replicated, at(0)).unwrap();
        assert_eq!(clock.to_reset(at(0)), expected, "{case}");
    }
}

#[test]
fn after_the_log_has_set_the_clocks_stamps_go_on_from_there() {
    let mut clock = clock(&[1], &[(1, T, false)]);
    clock.stamp_two_clocks(times(T + 30 * DAY_MS, T), at(0)).unwrap();
    clock.set(times(T, T), at(1));
    assert_eq!(clock.alarm(), None);
    assert_eq!(clock.stamp_two_clocks(times(T, T), at(5)), stamp(T + 5_000, Some(T + 5_000), T + 4_000));
}

proptest! {
    /// For any clock values and any sequence of samples, stamps and elections.
    #[test]
    fn neither_clock_runs_backwards_and_expiry_goes_no_faster_than_time_unless_confirmed(
        steps in proptest::collection::vec((0..6u64, any::<prop::sample::Index>(), 0..200_000u64, any::<bool>()), 1..60)
    ) {
        let walls = [0, T, T + HOUR_MS, T + 20 * DAY_MS, TIME_MS_MAX, u64::MAX];
        let mut clock = ClusterClock::new([1, 2, 3], at(0));
        let (mut now, mut previous, mut stamped) = (at(0), Times::default(), None);
        let mut was_synchronised = false;
        for (step, wall, elapsed_ms, is_synchronised) in steps {
            now += Duration::from_millis(elapsed_ms);
            match step {
                0..=2 => {
                    was_synchronised |= is_synchronised;
                    clock.sample(step + 1, walls[wall.index(walls.len())], is_synchronised, now);
                }
                3 => (clock, stamped) = (ClusterClock::new([1, 2, 3], now), None),
                _ => if let Ok(stamp) = clock.stamp_two_clocks(previous, now) {
                    prop_assert!(Some(stamp.time_ms) >= previous.time_ms && stamp.expiry_ms >= previous.expiry_ms);
                    prop_assert!(stamp.expiry_ms <= Some(stamp.time_ms) && stamp.time_ms <= TIME_MS_MAX);
                    if let (false, Some(before_ms)) = (was_synchronised, previous.expiry_ms) {
                        let passed = now - stamped.unwrap_or(now);
                        prop_assert!(stamp.expiry_ms.unwrap() - before_ms <= u64::try_from(passed.as_millis()).unwrap());
                    }
                    stamped = Some(now);
                    previous = Times { time_ms: Some(stamp.time_ms), expiry_ms: stamp.expiry_ms };
                }
            }
        }
    }
}
