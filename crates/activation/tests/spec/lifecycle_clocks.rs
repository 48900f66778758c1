//! The client's lifecycle where clocks are set, where `advance` is not called, and where the stored state is edited.

use activation::lifecycle::{
    ASK_FIRST_MS, FIRST_ATTEMPT_SPREAD_MS, GRACE_MS, Installed, LICENCE_MS, LicenseState, Lifecycle, Moment, Next,
};
use activation::limits::TIME_MS_MAX;
use activation::status::Status;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::lifecycle::{Hosts, at};
use crate::world::{DAY_MS, HOUR_MS, START_MS, cmid};

use LicenseState::{Licensed, Notification, OutOfBoxGrace};

const MINUTE_MS: u64 = 60_000;

/// The same moment by a wall clock that is ahead by this many days.
fn ahead(days: i64, ms: u64) -> Moment {
    let right = at(ms);
    Moment { wall_ms: right.wall_ms.checked_add_signed(days * DAY_MS.cast_signed()).unwrap(), ..right }
}

fn licensed(hosts: &Hosts) -> Lifecycle {
    let mut life = Lifecycle::begin(at(0), 0);
    life.answered(at(0), &hosts.say(0, 25), 0);
    life
}

fn state(life: &Lifecycle, now: Moment) -> LicenseState {
    life.standing(now, Installed::Setup).state
}

fn minutes_left(life: &Lifecycle, now: Moment) -> Option<u64> {
    life.standing(now, Installed::Setup).minutes_left
}

fn attempt_in_ms(life: &Lifecycle, now: Moment) -> u64 {
    match life.next(now, Installed::Setup) {
        Next::Attempt => 0,
        Next::Wait(wait) => u64::try_from(wait.as_millis()).unwrap(),
        Next::Nothing => panic!("a setup key is installed"),
    }
}

#[test]
fn a_clock_that_was_ahead_and_comes_back_gives_the_term_back_as_it_was() {
    let hosts = Hosts::new();
    for (mut life, name, days_left) in [(licensed(&hosts), "licence", 180), (Lifecycle::begin(at(0), 0), "grace", 30)] {
        let was = state(&life, at(0));
        for hour in [1, 5, 9] {
            life.failed(ahead(365, hour * HOUR_MS), Status::CLOCK_SKEW, 0);
            assert_eq!(state(&life, ahead(365, hour * HOUR_MS)), Notification, "{name}: a host was asked");
            let back = at((hour + 1) * HOUR_MS);
            assert_eq!(state(&life, back), was, "{name}");
            assert_eq!(minutes_left(&life, back), Some(days_left * 24 * 60 - (hour + 1) * 60), "{name}");
            assert!(attempt_in_ms(&life, back) <= 2 * HOUR_MS, "{name}: the next attempt is no year away");
            life.advance(back);
        }
    }
}

#[test]
fn every_jump_past_the_end_asks_a_host_first() {
    let hosts = Hosts::new();
    let mut life = licensed(&hosts);
    for hour in [1, 5, 9] {
        let jumped = ahead(365, hour * HOUR_MS);
        life.advance(jumped);
        assert_eq!((state(&life, jumped), attempt_in_ms(&life, jumped)), (Licensed, 0), "hour {hour}");
        life.failed(jumped, Status::NO_HOST_REACHED, 0);
        assert_eq!(state(&life, jumped), Notification);
        life.advance(at((hour + 1) * HOUR_MS));
    }
}

#[test]
fn what_begins_while_the_clock_is_ahead_is_not_longer_when_it_comes_back() {
    let mut life = Lifecycle::begin(at(0), 0);
    life.advance(ahead(365, HOUR_MS));
    life.rearm(ahead(365, HOUR_MS), 0).unwrap();
    assert_eq!(minutes_left(&life, ahead(365, HOUR_MS)), Some(30 * 24 * 60));
    assert_eq!(state(&life, ahead(365, 31 * DAY_MS)), Notification);
    assert_eq!(minutes_left(&life, at(HOUR_MS)), Some(30 * 24 * 60));
    assert_eq!(state(&life, at(31 * DAY_MS)), Notification);
}

#[test]
fn a_clock_that_was_wrong_while_off_is_corrected_by_a_signed_answer() {
    let hosts = Hosts::new();
    let mut life = licensed(&hosts);
    let started = |wall_ms| Moment { wall_ms, boot: Some([2; 16]), uptime_ms: MINUTE_MS };
    life.advance(started(START_MS + 365 * DAY_MS));
    life.failed(started(START_MS + 365 * DAY_MS), Status::CLOCK_SKEW, 0);
    assert_eq!(state(&life, started(START_MS + DAY_MS)), Notification, "it may have been off for a year");
    life.answered(started(START_MS + DAY_MS), &hosts.say(DAY_MS, 3), 0);
    assert_eq!(state(&life, started(START_MS + DAY_MS)), Licensed, "below the threshold: the time counts");
    assert_eq!(minutes_left(&life, started(START_MS + DAY_MS)), Some(179 * 24 * 60));
}

#[test]
fn where_starts_cannot_be_told_apart_a_clock_that_is_set_back_does_not_stop_time() {
    let nameless = |moment: Moment| Moment { boot: None, ..moment };
    let life = Lifecycle::begin(nameless(at(0)), 0);
    for (ms, expected) in [(29 * DAY_MS, OutOfBoxGrace), (30 * DAY_MS, Notification)] {
        assert_eq!(state(&life, nameless(ahead(-300, ms))), expected);
    }
}

#[test]
fn a_term_ends_also_for_those_who_only_look() {
    let hosts = Hosts::new();
    let life = licensed(&hosts);
    let later = |uptime_ms| Moment { wall_ms: START_MS + 400 * DAY_MS, boot: Some([2; 16]), uptime_ms };
    for (uptime_ms, expected) in
        [(MINUTE_MS, Licensed), (ASK_FIRST_MS - 1, Licensed), (ASK_FIRST_MS, Notification), (DAY_MS, Notification)]
    {
        assert_eq!(state(&life, later(uptime_ms)), expected, "{uptime_ms} ms after the start, no time was recorded");
    }
    let mut noted = life.clone();
    noted.wake(later(DAY_MS), 0);
    assert_eq!(state(&noted, later(DAY_MS)), Licensed, "a machine that records its time sends a request first");
    assert!(attempt_in_ms(&noted, later(DAY_MS)) < ASK_FIRST_MS);
}

#[test]
fn time_to_ask_in_runs_out_while_the_machine_runs_and_not_by_the_clock() {
    let hosts = Hosts::new();
    let mut life = licensed(&hosts);
    let start = |boot: u8, days: u64, uptime_ms| Moment {
        wall_ms: START_MS + days * DAY_MS,
        boot: Some([boot; 16]),
        uptime_ms,
    };
    life.wake(start(2, 200, MINUTE_MS), 0);
    life.advance(start(2, 200, 60 * MINUTE_MS));
    life.wake(start(3, 300, MINUTE_MS), 0);
    assert_eq!(state(&life, start(3, 300, 59 * MINUTE_MS)), Licensed);
    assert_eq!(state(&life, start(3, 300, 61 * MINUTE_MS)), Notification);
}

#[test]
fn machines_whose_terms_end_together_do_not_ask_together() {
    const MOMENT_MS: u64 = 5_000;
    let mut by_moment = std::collections::BTreeMap::<u64, u32>::new();
    for machine in 0..1_000_u64 {
        let chance = |attempt: u64| {
            let hash = Sha256::digest([machine.to_be_bytes(), attempt.to_be_bytes()].concat());
            u64::from_be_bytes(hash[..8].try_into().unwrap())
        };
        let mut life = Lifecycle::begin(at(0), chance(0));
        let mut ms = GRACE_MS - DAY_MS;
        let mut attempt = 1;
        life.advance(at(ms));
        while ms < GRACE_MS + 4 * HOUR_MS {
            life.failed(at(ms), Status::NO_HOST_REACHED, chance(attempt));
            ms += attempt_in_ms(&life, at(ms));
            attempt += 1;
            *by_moment.entry(ms / MOMENT_MS).or_default() += 1;
            if (GRACE_MS - FIRST_ATTEMPT_SPREAD_MS..GRACE_MS).contains(&ms) {
                assert_eq!(state(&life, at(ms)), OutOfBoxGrace);
            }
        }
        assert_eq!(state(&life, at(ms)), Notification);
    }
    let end = GRACE_MS / MOMENT_MS;
    let around: Vec<u32> = (end - 13..end + 2).map(|moment| by_moment.get(&moment).copied().unwrap_or(0)).collect();
    println!("attempts in each five seconds around the common end: {around:?}");
    assert!(around.iter().sum::<u32>() >= 1_000, "each asks once more before the end");
    assert!(around.iter().all(|of_moment| *of_moment < 200), "no five seconds have a fifth of them: {around:?}");
}

/// The encoding of the stored state, written independently of the implementation.
#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(uint64, tag = "2")]
    passed_ms: u64,
    #[prost(uint64, tag = "3")]
    wall_ms: u64,
    #[prost(bytes = "vec", tag = "4")]
    boot: Vec<u8>,
    #[prost(uint64, tag = "5")]
    uptime_ms: u64,
    #[prost(uint32, tag = "6")]
    term: u32,
    #[prost(message, optional, tag = "7")]
    ends: Option<Due>,
    #[prost(uint64, optional, tag = "8")]
    ask_first_ms: Option<u64>,
    #[prost(message, optional, tag = "9")]
    next_attempt: Option<Due>,
    #[prost(uint32, tag = "10")]
    activation_interval_minutes: u32,
    #[prost(uint32, tag = "11")]
    renewal_interval_minutes: u32,
    #[prost(uint32, tag = "12")]
    rearms_left: u32,
    #[prost(uint32, optional, tag = "13")]
    last_status: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Due {
    #[prost(uint64, tag = "1")]
    passed_ms: u64,
    #[prost(uint64, tag = "2")]
    reckoned_ms: u64,
}

type Edit = fn(&mut Kept, Due);

fn edited(life: &Lifecycle, edit: impl FnOnce(&mut Kept)) -> Vec<u8> {
    let mut kept = Kept::decode(life.encode().as_slice()).unwrap();
    assert_eq!(kept.encode_to_vec(), life.encode(), "every field is written down here");
    edit(&mut kept);
    kept.encode_to_vec()
}

#[test]
fn editing_what_is_kept_prolongs_no_licence() {
    let hosts = Hosts::new();
    let evidence = hosts.say(0, 25);
    let never = Due { passed_ms: TIME_MS_MAX, reckoned_ms: TIME_MS_MAX };
    let edits: [(&str, Edit); 4] = [
        ("end", |kept, never| kept.ends = Some(never)),
        ("time to ask in", |kept, _| kept.ask_first_ms = Some(u64::MAX)),
        ("time", |kept, _| (kept.passed_ms, kept.wall_ms) = (0, 0)),
        ("all", |kept, never| {
            (kept.ends, kept.ask_first_ms, kept.next_attempt) = (Some(never), Some(u64::MAX), Some(never));
            (kept.passed_ms, kept.wall_ms, kept.uptime_ms) = (0, 0, u64::MAX);
        }),
    ];
    for (name, edit) in edits {
        let bytes = edited(&licensed(&hosts), |kept| edit(kept, never));
        let life = Lifecycle::decode(&bytes, Some(&evidence), at(LICENCE_MS)).unwrap();
        assert!(attempt_in_ms(&life, at(LICENCE_MS)) <= 30 * DAY_MS, "{name}");
        let asked_long_enough = at(LICENCE_MS + ASK_FIRST_MS);
        assert_eq!(state(&life, asked_long_enough), Notification, "{name}");
    }
}

#[test]
fn editing_what_is_kept_gives_no_more_grace_than_a_new_machine_has() {
    let never = Due { passed_ms: TIME_MS_MAX, reckoned_ms: TIME_MS_MAX };
    for term in [1, 2, 3, 4] {
        let bytes = edited(&Lifecycle::begin(at(0), 0), |kept| (kept.term, kept.ends) = (term, Some(never)));
        let life = Lifecycle::decode(&bytes, None, at(0)).unwrap();
        assert!(minutes_left(&life, at(0)).unwrap_or(0) <= 30 * 24 * 60, "term {term}");
        assert_ne!(state(&life, at(0)), Licensed, "term {term}");
        assert_eq!(state(&life, at(31 * DAY_MS)), Notification, "term {term}");
    }
    for damaged in [
        edited(&Lifecycle::begin(at(0), 0), |kept| kept.format = 0),
        edited(&Lifecycle::begin(at(0), 0), |kept| kept.term = 5),
        edited(&Lifecycle::begin(at(0), 0), |kept| kept.rearms_left = 4),
        edited(&Lifecycle::begin(at(0), 0), |kept| kept.activation_interval_minutes = 14),
        edited(&Lifecycle::begin(at(0), 0), |kept| kept.renewal_interval_minutes = 43_201),
        edited(&Lifecycle::begin(at(0), 0), |kept| kept.passed_ms = TIME_MS_MAX + 1),
        edited(&Lifecycle::begin(at(0), 0), |kept| kept.ends = None),
        edited(&Lifecycle::begin(at(0), 0), |kept| kept.boot = vec![1; 15]),
        vec![0; 10_000],
    ] {
        assert!(Lifecycle::decode(&damaged, None, at(0)).is_err());
    }
}

#[test]
fn a_licence_by_a_cluster_whose_clock_was_ahead_is_not_longer_once_it_is_right() {
    let hosts = Hosts::new();
    let mut life = Lifecycle::begin(at(0), 0);
    let of_the_future = hosts.verify(&hosts.exchange(cmid(1), START_MS + 365 * DAY_MS, 25), cmid(1)).unwrap();
    life.answered(ahead(365, 0), &of_the_future, 0);
    life.answered(at(DAY_MS), &hosts.say(DAY_MS, 3), 0);
    assert_eq!(minutes_left(&life, at(DAY_MS)), Some(180 * 24 * 60));
    let again = Lifecycle::decode(&life.encode(), Some(&of_the_future), at(100 * DAY_MS)).unwrap();
    assert!(minutes_left(&again, at(100 * DAY_MS)).unwrap_or(0) <= 81 * 24 * 60);
}
