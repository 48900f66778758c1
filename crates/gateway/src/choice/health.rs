//! Health of one upstream as one node sees it, by probes alone.

use std::{fmt, time::Duration};

use crate::{failure::Failure, limits::PROBES_TO_FAIL};

/// State of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// No probe has decided yet.
    Unknown,
    /// The last probes succeeded.
    Healthy,
    /// [`PROBES_TO_FAIL`] probes in a row failed, and none succeeded since.
    Failing,
    /// An administrator drained it.
    Drained,
}

impl State {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Healthy, Self::Failing, Self::Drained];

    /// Name for labels and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::Drained => "drained",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Health of one upstream. Times are durations since an epoch of the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    state: State,
    since: Duration,
    failed_in_a_row: u32,
    last_failure: Option<Failure>,
}

impl Health {
    /// An upstream that is known since `now`.
    pub fn new(now: Duration) -> Self {
        Self { state: State::Unknown, since: now, failed_in_a_row: 0, last_failure: None }
    }

    /// Records a probe; returns whether the state changed. A [`Failure::Local`] changes nothing; a [`Failure::Loop`] and
    /// a [`Failure::Member`] take the upstream out at once, because forwarding to it would multiply connections.
    pub fn probed(&mut self, result: Result<(), Failure>, now: Duration) -> bool {
        match result {
            Ok(()) => {
                self.failed_in_a_row = 0;
                self.last_failure = None;
                self.become_state(State::Healthy, now)
            }
            Err(Failure::Local) => false,
            Err(failure) => {
                self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
                self.last_failure = Some(failure);
                let is_out =
                    self.failed_in_a_row >= PROBES_TO_FAIL || matches!(failure, Failure::Loop | Failure::Member);
                is_out && self.become_state(State::Failing, now)
            }
        }
    }

    fn become_state(&mut self, state: State, now: Duration) -> bool {
        let has_changed = self.state != state;
        if has_changed {
            (self.state, self.since) = (state, now);
        }
        has_changed
    }

    /// [`State::Unknown`], [`State::Healthy`] or [`State::Failing`].
    pub fn state(&self) -> State {
        self.state
    }

    /// When the state began.
    pub fn since(&self) -> Duration {
        self.since
    }

    /// Whether a probe failed and the upstream is not out yet: the next probe follows soon.
    pub fn is_in_doubt(&self) -> bool {
        self.failed_in_a_row > 0 && self.state != State::Failing
    }

    /// How the last probe failed, if it did.
    pub fn last_failure(&self) -> Option<Failure> {
        self.last_failure
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    proptest! {
        #[test]
        fn g4_only_three_failed_probes_in_a_row_take_an_upstream_out(results in prop::collection::vec(any::<bool>(), 0..60)) {
            let mut health = Health::new(Duration::ZERO);
            for (at, result) in (1u32..).zip(&results) {
                let before = health.state();
                let changed = health.probed(if *result { Ok(()) } else { Err(Failure::Silent) }, S * at);
                prop_assert_eq!(changed, before != health.state());
                let seen = &results[..at as usize];
                let failed = seen.iter().rev().take_while(|result| !**result).count();
                let expected = match failed {
                    0 => State::Healthy,
                    1 | 2 => before,
                    _ => State::Failing,
                };
                prop_assert_eq!(health.state(), expected);
                if changed {
                    prop_assert_eq!(health.since(), S * at);
                }
                prop_assert_eq!(health.is_in_doubt(), failed > 0 && expected != State::Failing);
            }
        }
    }

    #[test]
    fn the_nodes_own_errors_say_nothing_and_a_loop_is_out_at_once() {
        let mut health = Health::new(Duration::ZERO);
        for _ in 0..10 {
            assert!(!health.probed(Err(Failure::Local), S));
        }
        assert!(health.state() == State::Unknown && !health.is_in_doubt());
        assert!(health.probed(Err(Failure::Loop), S * 2));
        assert_eq!(
            (health.state(), health.since(), health.last_failure()),
            (State::Failing, S * 2, Some(Failure::Loop))
        );
    }
}
