//! When a count falls below a threshold: the forecast equals what then happens.

use activation::count::{Count, Forecast, Seen};
use activation::id::{MachineDigest, ProductId};
use activation::limits::CMID_LIFETIME_MS;
use proptest::prelude::*;

use super::world::*;

const THRESHOLD: u32 = 5;
const NOW_MS: u64 = START_MS + 40 * DAY_MS;

fn seen() -> Seen {
    Seen {
        node: 1,
        product: ProductId([1; 16]),
        machine: MachineDigest([2; 8]),
        machine_name: "pc".parse().unwrap(),
        virtual_machine: false,
    }
}

/// Machines that asked this many hours before now.
fn asked(hours_ago: &[u64]) -> Count {
    let mut hours: Vec<_> = hours_ago.to_vec();
    hours.sort_unstable_by(|one, other| other.cmp(one));
    let mut count = Count::new();
    for (machine, hours) in (1..).zip(hours) {
        let time_ms = NOW_MS - hours * HOUR_MS;
        count.record(100, cmid(machine), seen(), time_ms, time_ms);
    }
    count
}

#[test]
fn a_forecast_names_the_time_at_which_one_machine_is_missing() {
    let days = |days: u64| NOW_MS - days * DAY_MS + CMID_LIFETIME_MS;
    let hours = |days: &[u64]| days.iter().map(|days| days * 24).collect::<Vec<_>>();
    let cases: [(&[u64], Option<u64>, Option<u64>); 5] = [
        (&[1, 2, 3, 4], None, None),
        (&[1, 2, 3, 4, 5], Some(days(5)), None),
        (&[1, 2, 3, 10, 20], Some(days(20)), Some(days(20))),
        (&[1, 2, 3, 10, 20, 25], Some(days(20)), Some(days(20))),
        (&[1, 2, 3, 4, 5, 20, 25], Some(days(5)), None),
    ];
    for (asked_days_ago, without_requests_ms, with_trend_ms) in cases {
        let forecast = asked(&hours(asked_days_ago)).forecast(THRESHOLD, NOW_MS);
        assert_eq!(forecast, Forecast { without_requests_ms, with_trend_ms }, "{asked_days_ago:?}");
    }
    assert_eq!(asked(&[]).forecast(0, NOW_MS), Forecast::default(), "nothing is below nothing");
}

proptest! {
    #[test]
    fn nothing_else_happens(hours in proptest::collection::vec(0_u64..800, 0..40), threshold in 1_u32..12) {
        let count = asked(&hours);
        let forecast = count.forecast(threshold, NOW_MS);
        match forecast.without_requests_ms {
            None => prop_assert!(count.live(NOW_MS) < threshold),
            Some(at) => {
                prop_assert!(count.live(at - 1) >= threshold && count.live(at) < threshold);
            }
        }
        // Machines that asked within the last 7 days ask again in time.
        let mut going_on = Count::new();
        for (machine, time_ms, seen) in count.in_order() {
            let again = if NOW_MS - time_ms <= 7 * DAY_MS { NOW_MS } else { time_ms };
            going_on.record(100, machine, seen.clone(), again.max(time_ms), again.max(time_ms));
        }
        let end = NOW_MS + 29 * DAY_MS;
        if let Some(at) = forecast.with_trend_ms {
            prop_assert!(going_on.live(at - 1) >= threshold && going_on.live(at) < threshold);
        } else {
            prop_assert!(count.live(NOW_MS) < threshold || going_on.live(end) >= threshold);
        }
        for days in [1, 3, 7] {
            let gone = count.live(NOW_MS) - count.live(NOW_MS + days * DAY_MS);
            prop_assert_eq!(count.expiring_within(days * DAY_MS, NOW_MS), gone);
        }
        let ages = count.ages(NOW_MS);
        prop_assert_eq!(ages.iter().sum::<u32>(), count.live(NOW_MS), "every machine that counts has an age, and no other");
        for (days, asked) in (0_u64..).zip(ages) {
            let so_old = |(_, time_ms, _): &(_, u64, _)| (NOW_MS - time_ms) / DAY_MS == days;
            prop_assert_eq!(count.in_order().filter(so_old).count(), asked as usize, "{} days ago", days);
        }
    }
}
