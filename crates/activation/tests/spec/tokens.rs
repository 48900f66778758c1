//! Tokens: usable once, and not after they expire.

use activation::limits::{SPENT_TOKENS_MAX, TOKENS_MAX};
use activation::state::{Applied, Command, CommandRefusal, Enrolled, Format, Grant, OpenToken, State};

use super::world::*;

const HOUR: u64 = 3_600_000;

fn add(digest: u8, grant: Grant, expires_ms: u64) -> Command {
    Command::AddToken { digest: [digest; 32], token: OpenToken { grant, expires_ms } }
}

fn spend(digest: u8, time_ms: u64, node: Option<u64>) -> Command {
    Command::UseToken { digest: [digest; 32], time_ms, node, registration: None, enrolled: None, joining: None }
}

pub(crate) fn enrolled(number: u8) -> Enrolled {
    Enrolled { request: [number; 32], certificate: vec![number; 5].into() }
}

fn enrol(number: u8, node: u64) -> Command {
    let (digest, enrolled) = ([number; 32], Some(enrolled(number)));
    Command::UseToken { digest, time_ms: 0, node: Some(node), registration: None, enrolled, joining: None }
}

#[test]
fn what_a_used_token_gave_is_known_while_it_is_one_of_the_last() {
    let mut cluster = Cluster::activated();
    cluster.apply(&Command::SetFormat { format: Format::NEWEST });
    let count = u8::try_from(SPENT_TOKENS_MAX).unwrap() + 1;
    for number in 0..count {
        cluster.apply(&add(number, Grant::Node, HOUR));
        assert_eq!(cluster.apply(&enrol(number, 9)), Applied::Done);
    }
    assert_eq!(cluster.state.enrolled(&[0; 32]), None, "the first one made room");
    for number in 1..count {
        assert_eq!(cluster.state.enrolled(&[number; 32]), Some(&enrolled(number)));
    }
    let restored = State::decode_snapshot(&cluster.state.encode_snapshot()).unwrap();
    assert_eq!((restored.hash(), restored.enrolled(&[1; 32])), (cluster.state.hash(), Some(&enrolled(1))));
    cluster.apply(&Command::SetFormat { format: Format::AUDITED });
    assert_eq!(cluster.state.enrolled(&[1; 32]), None, "a format that does not hold it");
    let restored = State::decode_snapshot(&cluster.state.encode_snapshot()).unwrap();
    assert_eq!(restored.hash(), cluster.state.hash());
}

#[test]
fn a_token_works_once_and_not_after_its_time() {
    let mut cluster = Cluster::activated();
    let until = cluster.now_ms + HOUR;
    assert_eq!(cluster.apply(&add(1, Grant::Reader, until)), Applied::Done);
    assert_eq!(cluster.apply(&add(2, Grant::Node, until)), Applied::Done);
    let before = cluster.state.hash();
    let refused = [
        (spend(3, until, None), CommandRefusal::UnknownToken),
        (spend(1, until + 1, None), CommandRefusal::ExpiredToken),
        (spend(1, until, Some(4)), CommandRefusal::Malformed("node")),
        (spend(2, until, None), CommandRefusal::Malformed("node")),
    ];
    for (command, why) in refused {
        assert_eq!(cluster.apply(&command), Applied::Refused(why), "{command:?}");
    }
    assert_eq!(cluster.state.hash(), before, "a refusal changes nothing");
    for command in [spend(1, until, None), spend(2, until, Some(7))] {
        assert_eq!(cluster.apply(&command), Applied::Done);
        assert_eq!(cluster.apply(&command), Applied::Refused(CommandRefusal::UnknownToken), "used already");
    }
    assert_eq!(cluster.state.highest_enrolled(), 7);
}

#[test]
fn open_tokens_are_bounded_and_expired_ones_make_room() {
    let mut cluster = Cluster::activated();
    cluster.ask(CLIENT, 1);
    let now = cluster.now_ms;
    for digest in 0..u8::try_from(TOKENS_MAX).unwrap() {
        assert_eq!(cluster.apply(&add(digest, Grant::Operator, now + u64::from(digest))), Applied::Done);
    }
    let full = CommandRefusal::TooMany { what: "open tokens", max: TOKENS_MAX };
    assert_eq!(cluster.apply(&add(200, Grant::Node, now + HOUR)), Applied::Refused(full));
    cluster.now_ms += 10;
    cluster.ask(CLIENT, 1);
    assert_eq!(cluster.apply(&add(200, Grant::Node, now + HOUR)), Applied::Done);
    assert_eq!(cluster.state.open_token(&[9; 32]), None, "expired, and dropped");
    assert!(cluster.state.open_token(&[200; 32]).is_some());
}

#[test]
fn tokens_are_part_of_snapshot_and_hash() {
    let mut cluster = Cluster::activated();
    let before = cluster.state.hash();
    cluster.apply(&add(1, Grant::Administrator, cluster.now_ms));
    cluster.apply(&add(2, Grant::Node, cluster.now_ms));
    cluster.apply(&spend(2, 0, Some(9)));
    assert_ne!(cluster.state.hash(), before);
    let restored = State::decode_snapshot(&cluster.state.encode_snapshot()).unwrap();
    assert_eq!(restored.hash(), cluster.state.hash());
    assert_eq!(restored.open_token(&[1; 32]).map(|token| token.grant), Some(Grant::Administrator));
    assert_eq!((restored.open_token(&[2; 32]), restored.highest_enrolled()), (None, 9));
}
