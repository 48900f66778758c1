//! When a node publishes again: at intervals while all is well, and soon after a failure. Pure: it returns how long
//! to wait.
//!
//! Invariant: never a wait of zero; random waits separate nodes that began at the same time.

use std::time::Duration;

use rand::{Rng, RngExt as _};

use crate::limits::{RETRY_AFTER_MAX, RETRY_AFTER_MIN};

/// The waits between one node's attempts in one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    every: Duration,
    failures: u32,
}

impl Schedule {
    /// The default interval after which records are published again, because another program may have removed them.
    pub const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

    pub fn new(every: Duration) -> Self {
        Self { every: every.max(RETRY_AFTER_MIN), failures: 0 }
    }

    /// The number of failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The records are published: returns a random wait of nine tenths to the whole of the interval.
    pub fn succeeded(&mut self, random: &mut impl Rng) -> Duration {
        self.failures = 0;
        self.every.mul_f64(random.random_range(0.9..=1.0))
    }

    /// The records may not be published: returns a random wait of half to the whole of a time that doubles with each
    /// failure, up to [`crate::limits::RETRY_AFTER_MAX`] and never beyond the interval.
    pub fn failed(&mut self, random: &mut impl Rng) -> Duration {
        let doubled = RETRY_AFTER_MIN.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        doubled.min(RETRY_AFTER_MAX).min(self.every).mul_f64(random.random_range(0.5..=1.0))
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::new(Self::EVERY)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn failures_are_repeated_soon_then_seldom_and_a_success_begins_anew() {
        let mut random = StdRng::seed_from_u64(1);
        let mut schedule = Schedule::default();
        for failure in 0..100 {
            let most = RETRY_AFTER_MIN.saturating_mul(2_u32.saturating_pow(failure)).min(RETRY_AFTER_MAX);
            let wait = schedule.failed(&mut random);
            assert!(wait >= most / 2 && wait <= most, "{failure}: {wait:?}");
        }
        assert_eq!(schedule.failures(), 100);
        let wait = schedule.succeeded(&mut random);
        assert!(wait >= Schedule::EVERY.mul_f64(0.9) && wait <= Schedule::EVERY, "{wait:?}");
        assert!(schedule.failed(&mut random) <= RETRY_AFTER_MIN);
    }

    #[test]
    fn two_nodes_that_began_together_part() {
        let waits: Vec<Duration> =
            (0..6).map(|seed| Schedule::default().succeeded(&mut StdRng::seed_from_u64(seed))).collect();
        for (position, wait) in waits.iter().enumerate() {
            assert!(!waits[..position].contains(wait), "{waits:?}");
        }
    }

    #[test]
    fn an_interval_of_nothing_is_no_busy_loop() {
        let mut random = StdRng::seed_from_u64(1);
        let mut schedule = Schedule::new(Duration::ZERO);
        assert!(schedule.succeeded(&mut random) >= RETRY_AFTER_MIN / 2);
        assert!(schedule.failed(&mut random) >= RETRY_AFTER_MIN / 2);
    }
}
