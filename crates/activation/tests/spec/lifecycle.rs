//! The client's lifecycle, requirement by requirement (R13 to R15, R20 to R24).

use std::time::Duration;

use activation::lifecycle::{
    ASK_FIRST_MS, AnswerProcessed, Evidence, EvidenceError, FIRST_ATTEMPT_SPREAD_MS, Installed, LicenseStanding,
    LicenseState, Lifecycle, LifecycleError, Moment, Next, NoRearmsLeft, RequestSent,
};
use activation::message::{AnswerBody, LicenseStatus, Request, sign_answer};
use activation::status::Status;
use activation::trust::Trust;
use sha2::{Digest, Sha256};

use crate::world::{
    CLIENT, DAY_MS, GROUP_B, HOUR_MS, PLATFORM_STANDARD, Publisher, START_MS, cmid, example, host_key, node_key,
    product,
};
use activation::id::{Cmid, MachineDigest};

use LicenseState::{Licensed, Notification, OutOfBoxGrace, OutOfToleranceGrace, Unlicensed};

const MINUTE_MS: u64 = 60_000;
const MACHINE: MachineDigest = MachineDigest([7; 8]);
/// The value of `chance` that does not shorten an interval.
const LATEST: u64 = 0;

/// The time this many milliseconds after the machine's first start, in the same start of the system.
pub(crate) fn at(ms: u64) -> Moment {
    Moment { wall_ms: START_MS + ms, boot: Some([1; 16]), uptime_ms: ms }
}

pub(crate) struct Hosts {
    publisher: Publisher,
    pub(crate) trust: Trust,
}

impl Hosts {
    pub(crate) fn new() -> Self {
        let publisher = Publisher::new(1);
        let trust = publisher.trust(Some(&example()));
        Self { publisher, trust }
    }

    pub(crate) fn exchange(&self, cmid: Cmid, cluster_time_ms: u64, count: u32) -> (Vec<u8>, Vec<u8>) {
        self.exchange_with(
            cmid,
            AnswerBody {
                count,
                threshold: 25,
                activation_interval_minutes: 120,
                renewal_interval_minutes: 10_080,
                cluster_time_ms,
                log_index: 1,
                offset: 0,
            },
        )
    }

    fn exchange_with(&self, cmid: Cmid, body: AnswerBody) -> (Vec<u8>, Vec<u8>) {
        let request = self.request(cmid).encode();
        let certificate = self.publisher.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD);
        let answer = sign_answer(&body, &certificate, &node_key(1), &Sha256::digest(&request).into());
        (request, answer)
    }

    fn request(&self, cmid: Cmid) -> Request {
        Request {
            nonce: [5; 16],
            publisher: self.trust.publisher,
            product: product(&self.publisher, CLIENT),
            cmid,
            machine: MACHINE,
            machine_name: "machine".parse().unwrap(),
            virtual_machine: true,
            license_status: LicenseStatus::OutOfBoxGrace,
            minutes_to_expiry: 7,
            client_time_ms: START_MS,
        }
    }

    pub(crate) fn verify(&self, (request, answer): &(Vec<u8>, Vec<u8>), cmid: Cmid) -> Result<Evidence, EvidenceError> {
        Evidence::verify(request, answer, &self.trust, (product(&self.publisher, CLIENT), cmid, MACHINE))
    }

    /// A host's verified answer at that time, by a correct clock.
    pub(crate) fn say(&self, ms: u64, count: u32) -> Evidence {
        self.verify(&self.exchange(cmid(1), START_MS + ms, count), cmid(1)).unwrap()
    }
}

fn new() -> Lifecycle {
    Lifecycle::begin(at(0), LATEST)
}

fn licensed(hosts: &Hosts, ms: u64) -> Lifecycle {
    let mut life = new();
    life.answered(at(ms), &hosts.say(ms, 25), LATEST);
    life
}

fn setup(life: &Lifecycle, moment: Moment) -> LicenseStanding {
    life.standing(moment, Installed::Setup)
}

fn state(life: &Lifecycle, ms: u64) -> LicenseState {
    setup(life, at(ms)).state
}

#[test]
fn r13_an_answer_is_good_for_180_days_and_each_success_starts_them_again() {
    let hosts = Hosts::new();
    let mut life = licensed(&hosts, 0);
    assert_eq!(setup(&life, at(0)).minutes_left, Some(180 * 24 * 60));
    for (ms, expected) in [(179 * DAY_MS, Licensed), (180 * DAY_MS - 1, Licensed), (180 * DAY_MS, Notification)] {
        assert_eq!(state(&life, ms), expected, "after {ms} ms");
    }
    life.answered(at(100 * DAY_MS), &hosts.say(100 * DAY_MS, 25), LATEST);
    assert_eq!((state(&life, 279 * DAY_MS), state(&life, 280 * DAY_MS)), (Licensed, Notification));
}

#[test]
fn r14_attempts_are_due_every_seven_days_and_after_a_failure_or_below_the_threshold_every_two_hours() {
    let hosts = Hosts::new();
    let wait = |life: &Lifecycle, ms| setup(life, at(ms)).next_attempt.unwrap();
    let mut life = licensed(&hosts, 0);
    assert_eq!(wait(&life, 0), Duration::from_millis(7 * DAY_MS));
    life.failed(at(7 * DAY_MS), Status::NO_HOST_REACHED, LATEST);
    assert_eq!(wait(&life, 7 * DAY_MS), Duration::from_millis(2 * HOUR_MS));
    life.answered(at(7 * DAY_MS + HOUR_MS), &hosts.say(7 * DAY_MS + HOUR_MS, 24), LATEST);
    assert_eq!(wait(&life, 7 * DAY_MS + HOUR_MS), Duration::from_millis(2 * HOUR_MS));
    assert_eq!(setup(&life, at(8 * DAY_MS)).last_status, Some(Status::BELOW_THRESHOLD));

    // The host's intervals override the client's.
    let body = AnswerBody {
        count: 25,
        threshold: 25,
        activation_interval_minutes: 15,
        renewal_interval_minutes: 1440,
        cluster_time_ms: START_MS + 8 * DAY_MS,
        log_index: 1,
        offset: 0,
    };
    let evidence = hosts.verify(&hosts.exchange_with(cmid(1), body), cmid(1)).unwrap();
    life.answered(at(8 * DAY_MS), &evidence, LATEST);
    assert_eq!(wait(&life, 8 * DAY_MS), Duration::from_millis(DAY_MS));
    life.failed(at(9 * DAY_MS), Status::NO_HOST_REACHED, LATEST);
    assert_eq!(wait(&life, 9 * DAY_MS), Duration::from_millis(15 * MINUTE_MS));
    assert_eq!(life.next(at(9 * DAY_MS + 15 * MINUTE_MS), Installed::Setup), Next::Attempt);
}

#[test]
fn r14_chance_only_shortens_and_spreads_machines_that_start_together() {
    let hosts = Hosts::new();
    let machines = 10_000_u64;
    let mut first = vec![0_u32; 15];
    let mut renewals = vec![0_u32; 18];
    for machine in 0..machines {
        let chance = u64::from_be_bytes(Sha256::digest(machine.to_be_bytes())[..8].try_into().unwrap());
        let mut life = Lifecycle::begin(at(0), chance);
        let wait = u64::try_from(setup(&life, at(0)).next_attempt.unwrap().as_millis()).unwrap();
        assert!(wait < FIRST_ATTEMPT_SPREAD_MS);
        first[usize::try_from(wait / 4_000).unwrap()] += 1;
        life.answered(at(0), &hosts.say(0, 25), chance);
        let wait = u64::try_from(setup(&life, at(0)).next_attempt.unwrap().as_millis()).unwrap();
        assert!((7 * DAY_MS * 9 / 10..=7 * DAY_MS).contains(&wait), "{wait}");
        let earlier_hours = (7 * DAY_MS - wait) / HOUR_MS;
        renewals[usize::try_from(earlier_hours).unwrap()] += 1;
    }
    println!("first attempts in each four seconds: {first:?}\nrenewals by hour before the seventh day: {renewals:?}");
    assert!(first.iter().all(|of_four| *of_four < 1_000), "no four seconds have a tenth of them: {first:?}");
    assert!(renewals.iter().all(|of_hour| *of_hour < 1_000), "no hour has a tenth of them: {renewals:?}");
}

#[test]
fn r15_grace_lasts_30_days_and_ends_in_notification() {
    let life = new();
    assert_eq!(setup(&life, at(0)).minutes_left, Some(30 * 24 * 60));
    assert_eq!((state(&life, 30 * DAY_MS - 1), state(&life, 30 * DAY_MS)), (OutOfBoxGrace, Notification));
    assert_eq!(setup(&life, at(31 * DAY_MS)).minutes_left, None);
    let reason = |ms| life.reason(at(ms), Installed::Setup);
    assert_eq!((reason(30 * DAY_MS - 1), reason(30 * DAY_MS)), (None, Some(Status::GRACE_EXPIRED)));
    assert_eq!(life.standing(at(0), Installed::Nothing).state, Unlicensed);
    assert_eq!(life.next(at(DAY_MS), Installed::Nothing), Next::Nothing);
}

#[test]
fn r15_r23_changed_hardware_turns_a_licence_into_30_days_of_grace_once() {
    let hosts = Hosts::new();
    let mut life = licensed(&hosts, 0);
    assert!(life.hardware_changed(at(DAY_MS), LATEST));
    assert_eq!(
        (state(&life, DAY_MS), setup(&life, at(DAY_MS)).next_attempt),
        (OutOfToleranceGrace, Some(Duration::ZERO))
    );
    assert!(!life.hardware_changed(at(20 * DAY_MS), LATEST), "another change lengthens nothing");
    assert_eq!((state(&life, 31 * DAY_MS - 1), state(&life, 31 * DAY_MS)), (OutOfToleranceGrace, Notification));
    let reason = |ms| life.reason(at(ms), Installed::Setup);
    let reasons = (Some(Status::HARDWARE_OUT_OF_TOLERANCE), Some(Status::GRACE_EXPIRED));
    assert_eq!((reason(31 * DAY_MS - 1), reason(31 * DAY_MS)), reasons);
    life.answered(at(40 * DAY_MS), &hosts.say(40 * DAY_MS, 25), LATEST);
    assert_eq!((state(&life, 40 * DAY_MS), life.reason(at(40 * DAY_MS), Installed::Setup)), (Licensed, None));

    let mut graced = new();
    assert!(!graced.hardware_changed(at(DAY_MS), LATEST), "grace out of the box stays what it is");
    assert_eq!((state(&graced, 29 * DAY_MS), state(&graced, 30 * DAY_MS)), (OutOfBoxGrace, Notification));
}

#[test]
fn r20_what_an_attempt_said_is_kept_and_what_is_unsigned_moves_no_state() {
    let hosts = Hosts::new();
    let mut life = licensed(&hosts, 0);
    for status in [Status::NO_HOST_REACHED, Status::HOST_NOT_ACTIVATED, Status::KEY_BLOCKED, Status::CLOCK_SKEW] {
        life.failed(at(DAY_MS), status, LATEST);
        let standing = setup(&life, at(DAY_MS));
        assert_eq!((standing.state, standing.last_status), (Licensed, Some(status)));
    }
}

#[test]
fn r21_the_timers_can_be_set_anew_three_times() {
    let mut life = new();
    for (rearm, left) in [(1, 2), (2, 1), (3, 0)] {
        let ms = rearm * 29 * DAY_MS;
        life.rearm(at(ms), LATEST).unwrap();
        let standing = setup(&life, at(ms));
        assert_eq!((standing.state, standing.minutes_left, standing.rearms_left), (OutOfBoxGrace, Some(43_200), left));
    }
    assert_eq!(life.rearm(at(90 * DAY_MS), LATEST), Err(NoRearmsLeft));
    assert_eq!(state(&life, (87 + 30) * DAY_MS), Notification);
}

#[test]
fn r22_an_image_takes_no_licence_along_and_without_a_rearm_keeps_its_timers() {
    let hosts = Hosts::new();
    let mut life = licensed(&hosts, 0);
    life.generalize(at(DAY_MS), LATEST).unwrap();
    let standing = setup(&life, at(DAY_MS));
    assert_eq!((standing.state, standing.minutes_left, standing.rearms_left), (OutOfBoxGrace, Some(43_200), 2));
    life.generalize(at(2 * DAY_MS), LATEST).unwrap();
    life.generalize(at(3 * DAY_MS), LATEST).unwrap();
    assert_eq!(life.generalize(at(4 * DAY_MS), LATEST), Err(NoRearmsLeft));
    assert_eq!(setup(&life, at(4 * DAY_MS)).minutes_left, Some(29 * 24 * 60), "the timers stay");
    life.answered(at(5 * DAY_MS), &hosts.say(5 * DAY_MS, 25), LATEST);
    assert_eq!(life.generalize(at(6 * DAY_MS), LATEST), Err(NoRearmsLeft));
    assert_eq!(state(&life, 6 * DAY_MS), Notification, "every copy would be licensed otherwise");
}

#[test]
fn r24_a_direct_key_needs_no_host_and_its_certificate_decides() {
    let hosts = Hosts::new();
    let life = licensed(&hosts, 0);
    let certified = Installed::Direct { certified: true };
    let direct = life.standing(at(400 * DAY_MS), certified);
    assert_eq!((direct.state, direct.minutes_left, direct.next_attempt), (Licensed, None, None));
    let without = Installed::Direct { certified: false };
    assert_eq!(life.standing(at(DAY_MS), without).state, Notification, "a licence of hosts is not for a direct key");
    assert_eq!(new().standing(at(DAY_MS), without).state, OutOfBoxGrace);
    assert_eq!(setup(&life, at(DAY_MS)).state, Licensed, "back with the setup key");
}

#[test]
fn hosts_that_are_away_for_179_days_cost_nothing_and_for_181_the_licence_which_is_back_within_two_hours() {
    let hosts = Hosts::new();
    let mut life = licensed(&hosts, 0);
    let mut ms = 0;
    while ms < 181 * DAY_MS {
        let Next::Wait(wait) = life.next(at(ms), Installed::Setup) else {
            assert!(state(&life, ms) == if ms < 180 * DAY_MS { Licensed } else { Notification }, "after {ms} ms");
            life.failed(at(ms), Status::NO_HOST_REACHED, ms.wrapping_mul(7_919));
            continue;
        };
        ms += u64::try_from(wait.as_millis()).unwrap();
    }
    assert_eq!(state(&life, ms), Notification);
    let Next::Attempt = life.next(at(ms), Installed::Setup) else { panic!("an attempt is due") };
    assert!(ms <= 181 * DAY_MS + 2 * HOUR_MS, "within two hours of the hosts' return");
    life.answered(at(ms), &hosts.say(ms, 25), LATEST);
    assert_eq!(state(&life, ms), Licensed);
}

#[test]
fn a_clock_that_jumps_lengthens_nothing_and_ends_nothing_before_a_host_was_asked() {
    let hosts = Hosts::new();
    let boot = |number: u8, wall_ms, uptime_ms| Moment { wall_ms, boot: Some([number; 16]), uptime_ms };
    // Set back by a year while the machine runs: the uptime counts.
    let life = licensed(&hosts, 0);
    let back = |uptime_ms| boot(1, START_MS - 365 * DAY_MS, uptime_ms);
    assert_eq!(setup(&life, back(179 * DAY_MS)).state, Licensed);
    assert_eq!(setup(&life, back(180 * DAY_MS)).state, Notification);

    // Set back while the machine was off: the reckoned time stays.
    let mut life = licensed(&hosts, 0);
    life.advance(at(179 * DAY_MS));
    assert_eq!(setup(&life, boot(2, START_MS, DAY_MS - 1)).state, Licensed);
    assert_eq!(setup(&life, boot(2, START_MS, DAY_MS)).state, Notification);

    // Set forward by a year: the client asks a host first.
    for start in [1, 2] {
        let ahead = |more| boot(start, START_MS + 365 * DAY_MS + more, HOUR_MS + more);
        let mut life = licensed(&hosts, 0);
        life.advance(ahead(0));
        assert_eq!(setup(&life, ahead(0)).state, Licensed);
        assert_eq!(life.next(ahead(0), Installed::Setup), Next::Attempt);
        let mut unasked = life.clone();
        unasked.advance(ahead(ASK_FIRST_MS));
        assert_eq!(setup(&unasked, ahead(ASK_FIRST_MS)).state, Notification, "not for ever");
        let mut failed = life.clone();
        failed.failed(ahead(0), Status::NO_HOST_REACHED, LATEST);
        assert_eq!(setup(&failed, ahead(0)).state, Notification);
        // A signed answer corrects the time.
        life.answered(boot(start, START_MS + HOUR_MS, HOUR_MS), &hosts.say(HOUR_MS, 24), LATEST);
        let standing = setup(&life, boot(start, START_MS + HOUR_MS, HOUR_MS));
        assert_eq!((standing.state, standing.minutes_left), (Licensed, Some(180 * 24 * 60 - 60)));
    }
}

#[test]
fn only_this_machines_own_exchange_is_evidence() {
    let hosts = Hosts::new();
    let exchange = hosts.exchange(cmid(1), START_MS, 25);
    assert!(hosts.verify(&exchange, cmid(1)).is_ok());
    assert_eq!(hosts.verify(&exchange, cmid(2)), Err(EvidenceError::ForAnother));
    let other = Publisher::new(40).trust(Some(&example()));
    let id = product(&hosts.publisher, CLIENT);
    assert!(Evidence::verify(&exchange.0, &exchange.1, &other, (id, cmid(1), MACHINE)).is_err());
    for index in 0..exchange.1.len() {
        let mut answer = exchange.1.clone();
        answer[index] ^= 1;
        assert!(hosts.verify(&(exchange.0.clone(), answer), cmid(1)).is_err(), "byte {index}");
    }
}

#[test]
fn what_is_kept_is_read_back_and_speaks_of_no_licence_without_evidence() {
    let hosts = Hosts::new();
    let life = licensed(&hosts, 0);
    let evidence = hosts.say(0, 25);
    let bytes = life.encode();
    assert_eq!(Lifecycle::decode(&bytes, Some(&evidence), at(0)), Ok(life.clone()));
    let without = Lifecycle::decode(&bytes, None, at(DAY_MS)).unwrap();
    assert_eq!(setup(&without, at(DAY_MS)).state, Notification);
    let older = hosts.verify(&hosts.exchange(cmid(1), START_MS - 100 * DAY_MS, 25), cmid(1)).unwrap();
    let shorter = Lifecycle::decode(&bytes, Some(&older), at(DAY_MS)).unwrap();
    assert_eq!(setup(&shorter, at(DAY_MS)).minutes_left, Some(79 * 24 * 60), "the evidence says how long");
    assert!(matches!(Lifecycle::decode(&[8, 9], None, at(0)), Err(LifecycleError::Newer(9))));
    for cut in 0..bytes.len() {
        if let Ok(read) = Lifecycle::decode(&bytes[..cut], None, at(0)) {
            assert_ne!(setup(&read, at(0)).state, Licensed);
        }
    }
}

#[test]
fn events_have_their_fields_in_the_documented_order() {
    let hosts = Hosts::new();
    let request = hosts.request(cmid(1));
    let sent = RequestSent::new(Status::OK, "node1.example.test:1688".into(), &request, 25);
    let expected = format!("0x00000000,0,node1.example.test:1688,{},{START_MS},1,2,7,{},25", cmid(1), request.product);
    assert_eq!((RequestSent::ID, sent.to_string()), (12288, expected));
    let processed = AnswerProcessed::new(hosts.say(0, 24).body(), START_MS);
    assert_eq!(
        (AnswerProcessed::ID, processed.to_string()),
        (12289, format!("0xC004F038,0,0,24,120,10080,{START_MS}"))
    );
    let refused = AnswerProcessed::refused(Status::KEY_INVALID, START_MS);
    assert_eq!(refused.to_string(), format!("0xC004F050,0,0,0,0,0,{START_MS}"));
}
