//! The client's lifecycle under any sequence of events, compared with a model that has the true time.
//!
//! The wall clock jumps by months in either direction, and the machine is switched off and on; only the uptime is
//! always correct.

use activation::id::Cmid;
use activation::lifecycle::{ASK_FIRST_MS, GRACE_MS, Installed, LICENCE_MS, LicenseState, Lifecycle, Moment, REARMS};
use activation::status::Status;
use proptest::prelude::*;

use crate::lifecycle::Hosts;
use crate::world::{DAY_MS, HOUR_MS, START_MS, cmid};

#[derive(Clone, Debug)]
enum Step {
    /// The machine runs for this many milliseconds.
    Run(u64),
    /// The machine is off for this many milliseconds.
    Off(u64),
    /// The wall clock is set by this many milliseconds.
    Jump(i64),
    /// The hosts answer with this count if the clock skew is within their limit.
    Ask(u32),
    Fail,
    HardwareChanged,
    Rearm,
    Generalize,
    /// The program restarts from its stored state.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..200 * DAY_MS).prop_map(Step::Run),
        2 => (0..200 * DAY_MS).prop_map(Step::Off),
        2 => (-400 * DAY_MS.cast_signed()..400 * DAY_MS.cast_signed()).prop_map(Step::Jump),
        1 => Just(Step::Jump(0)),
        5 => (20..30_u32).prop_map(Step::Ask),
        3 => Just(Step::Fail),
        1 => Just(Step::HardwareChanged),
        1 => Just(Step::Rearm),
        1 => Just(Step::Generalize),
        3 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

/// The machine, and the true values of the model.
struct World {
    hosts: Hosts,
    life: Lifecycle,
    exchange: Option<(Vec<u8>, Vec<u8>)>,
    cmid: Cmid,
    cmids: u32,
    true_ms: u64,
    /// How far the wall clock is wrong, in milliseconds; `Jump(0)` corrects it.
    wrong_by_ms: i64,
    boot: u8,
    uptime_ms: u64,
    /// When the last valid answer at or above the threshold came; `None` if an event has ended the licence since.
    licensed_at: Option<u64>,
    /// Whether the machine was off with a clock that was set back since that answer.
    unwitnessed: bool,
    /// How long the machine has run since it was switched on or its clock was set, in milliseconds.
    steady_ms: u64,
    rearms: u8,
}

impl World {
    fn new() -> Self {
        let moment = Moment { wall_ms: START_MS, boot: Some([0; 16]), uptime_ms: 0 };
        Self {
            hosts: Hosts::new(),
            life: Lifecycle::begin(moment, 0),
            exchange: None,
            cmid: cmid(0),
            cmids: 0,
            true_ms: START_MS,
            wrong_by_ms: 0,
            boot: 0,
            uptime_ms: 0,
            licensed_at: None,
            unwitnessed: false,
            steady_ms: 0,
            rearms: 0,
        }
    }

    fn now(&self) -> Moment {
        let wall_ms = self.true_ms.saturating_add_signed(self.wrong_by_ms);
        Moment { wall_ms, boot: Some([self.boot; 16]), uptime_ms: self.uptime_ms }
    }

    fn take(&mut self, step: &Step) {
        let now = self.now();
        match *step {
            Step::Run(ms) => {
                (self.true_ms, self.uptime_ms, self.steady_ms) =
                    (self.true_ms + ms, self.uptime_ms + ms, self.steady_ms + ms);
            }
            Step::Off(ms) => {
                (self.true_ms, self.uptime_ms, self.boot) = (self.true_ms + ms, 0, self.boot.wrapping_add(1));
                self.steady_ms = 0;
                // With a clock that was set back, the machine cannot determine how long it was off.
                self.unwitnessed |= self.wrong_by_ms < 0;
                self.life.wake(self.now(), 0);
            }
            Step::Jump(ms) => {
                (self.wrong_by_ms, self.steady_ms) = (ms, 0);
                self.life.advance(self.now());
            }
            Step::Ask(count) => self.ask(count),
            Step::Fail => self.life.failed(now, Status::NO_HOST_REACHED, 0),
            Step::HardwareChanged => {
                self.life.hardware_changed(now, 0);
                (self.licensed_at, self.exchange) = (None, None);
            }
            Step::Rearm => {
                if self.life.rearm(now, 0).is_ok() {
                    (self.licensed_at, self.exchange, self.rearms) = (None, None, self.rearms + 1);
                }
            }
            Step::Generalize => {
                if self.life.generalize(now, 0).is_ok() {
                    self.rearms += 1;
                }
                (self.licensed_at, self.exchange) = (None, None);
                self.cmids += 1;
                self.cmid = cmid(self.cmids);
            }
            Step::Restart => {
                let evidence = self.exchange.as_ref().map(|exchange| self.hosts.verify(exchange, self.cmid).unwrap());
                self.life = Lifecycle::decode(&self.life.encode(), evidence.as_ref(), now).unwrap();
            }
        }
    }

    fn ask(&mut self, count: u32) {
        let now = self.now();
        // 0xC004F06C: hosts refuse clients whose clock is wrong.
        if now.wall_ms.abs_diff(self.true_ms) > 4 * HOUR_MS {
            return self.life.failed(now, Status::CLOCK_SKEW, 0);
        }
        let exchange = self.hosts.exchange(self.cmid, self.true_ms, count);
        let evidence = self.hosts.verify(&exchange, self.cmid).unwrap();
        self.life.answered(now, &evidence, 0);
        self.unwitnessed = self.unwitnessed && count < 25;
        if count >= 25 {
            (self.licensed_at, self.exchange, self.unwitnessed) = (Some(self.true_ms), Some(exchange), false);
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let standing = self.life.standing(self.now(), Installed::Setup);
        let is_licensed = standing.state == LicenseState::Licensed;
        let age = self.licensed_at.map(|at| self.true_ms - at);
        prop_assert!(self.rearms <= REARMS && standing.rearms_left == REARMS - self.rearms);
        if is_licensed {
            prop_assert!(age.is_some(), "licensed without a valid answer");
            // A machine that was off with a clock that was set back cannot determine how long. For every other
            // machine the true time holds, once it had time to ask a host.
            let may_ask_first = self.steady_ms < ASK_FIRST_MS;
            let is_fresh = age.is_some_and(|age| age < LICENCE_MS);
            prop_assert!(self.unwitnessed || may_ask_first || is_fresh, "licensed after {age:?}");
        } else if let Some(age) = age {
            // The clock is ahead, and a request to a host has failed. Once the clock is right, the licence holds
            // again.
            prop_assert!(self.wrong_by_ms > 0 || age >= LICENCE_MS, "not licensed after {age}");
        }
        if standing.state == LicenseState::OutOfBoxGrace {
            prop_assert!(standing.minutes_left.is_some_and(|minutes| minutes * 60_000 <= GRACE_MS));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn licensed_only_with_an_answer_of_the_last_180_days_and_always_with_one(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check()?;
        }
    }
}
