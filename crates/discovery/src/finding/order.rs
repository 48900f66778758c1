//! The order in which the hosts of a service are tried (RFC 2782, "Usage rules"). Pure.

use rand::seq::SliceRandom as _;
use rand::{Rng, RngExt as _};

use crate::record::Srv;

/// Returns the records in the order in which to try them: by priority, and within one priority at random by weight.
///
/// Weight 0 beside larger weights gets the small share that the RFC gives it, 1 of (sum + 1) for the first such
/// record. Where all weights are 0, all records have equal shares.
pub fn order(mut records: Vec<Srv>, random: &mut impl Rng) -> Vec<Srv> {
    // Chance decides among equal records, never the server's order: all weights are 0 where none are configured
    // (R25).
    records.shuffle(random);
    // Within a priority, records of weight 0 come first: there a drawn 0 selects one.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let group = records.iter().take_while(|record| record.priority == priority);
        let sum: u64 = group.map(|record| u64::from(record.weight)).sum();
        let drawn = random.random_range(0..=sum);
        let mut passed = 0;
        let chosen = records.iter().position(|record| {
            passed += u64::from(record.weight);
            passed >= drawn
        });
        ordered.push(records.remove(chosen.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const SELECTIONS: u32 = 10_000;

    fn srv(target: &str, priority: u16, weight: u16) -> Srv {
        Srv { target: target.parse().unwrap(), port: 1688, priority, weight }
    }

    /// How often each record is first in the order.
    fn first_choices(records: &[Srv]) -> BTreeMap<String, u32> {
        let mut random = StdRng::seed_from_u64(16);
        let mut counts = BTreeMap::new();
        for _ in 0..SELECTIONS {
            let ordered = order(records.to_vec(), &mut random);
            assert_eq!(ordered.len(), records.len());
            *counts.entry(ordered[0].target.to_string()).or_default() += 1;
        }
        counts
    }

    /// Within five standard deviations of a binomial distribution: one seed in two million fails by chance.
    fn assert_share(count: u32, share: f64, what: &str) {
        let (n, count) = (f64::from(SELECTIONS), f64::from(count));
        let deviation = (n * share * (1.0 - share)).sqrt();
        assert!((count - n * share).abs() <= 5.0 * deviation, "{what}: {count} of {n}, expected {}", n * share);
    }

    #[test]
    fn ten_thousand_selections_follow_the_weights() {
        let table: &[&[(&str, u16, f64)]] = &[
            // Numbers are drawn from 0 to 100: the first record of the group has one value more, and chance decides
            // which is first.
            &[("a.", 60, 0.6), ("b.", 30, 0.3), ("c.", 10, 0.1)],
            &[("a.", 1, 0.5), ("b.", 1, 0.5)],
            &[("a.", 0, 0.25), ("b.", 0, 0.25), ("c.", 0, 0.25), ("d.", 0, 0.25)],
            &[("a.", 65_535, 0.5), ("b.", 65_535, 0.5)],
            // RFC 2782: weight 0 has a very small chance, one drawn value of 100.
            &[("a.", 99, 0.99), ("b.", 0, 0.01)],
        ];
        for weights in table {
            let records: Vec<Srv> = weights.iter().map(|(target, weight, _)| srv(target, 0, *weight)).collect();
            let counts = first_choices(&records);
            for (target, weight, share) in *weights {
                let count = counts.get(*target).copied().unwrap_or(0);
                assert_share(count, *share, &format!("{target} of weight {weight} in {weights:?}"));
            }
        }
    }

    #[test]
    fn a_lower_priority_is_tried_before_every_higher_one_whatever_the_weights() {
        let records = [srv("d.", 9, 65_535), srv("a.", 0, 0), srv("c.", 5, 100), srv("b.", 0, 1)];
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..SELECTIONS {
            let priorities: Vec<u16> =
                order(records.to_vec(), &mut random).iter().map(|record| record.priority).collect();
            assert_eq!(priorities, [0, 0, 5, 9]);
        }
    }

    #[test]
    fn the_second_choice_follows_the_weights_that_are_left() {
        let records = [srv("a.", 0, 98), srv("b.", 0, 30), srv("c.", 0, 10)];
        let mut random = StdRng::seed_from_u64(7);
        let (mut after_a, mut b_second) = (0u32, 0u32);
        for _ in 0..SELECTIONS {
            let ordered = order(records.to_vec(), &mut random);
            if ordered[0].target.to_string() == "a." {
                after_a += 1;
                b_second += u32::from(ordered[1].target.to_string() == "b.");
            }
        }
        let (n, share) = (f64::from(after_a), 0.75);
        // Numbers are drawn from 0 to 40, so each share may be off by one value of 41.
        assert!((f64::from(b_second) / n - share).abs() < 0.025 + 5.0 * (share * (1.0 - share) / n).sqrt());
    }

    #[test]
    fn nothing_is_ordered_into_nothing() {
        assert_eq!(order(Vec::new(), &mut StdRng::seed_from_u64(0)), Vec::new());
    }
}
