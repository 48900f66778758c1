//! Snapshots and state hashes.

use activation::clock::{SkewReference, Stamp};
use activation::limits::STATE_HASH_INTERVAL_ENTRIES;
use activation::state::{Applied, Batch, Command, Format, SnapshotError, State};

use super::world::*;

fn busy() -> Cluster {
    busy_in(Format::OLDEST)
}

fn busy_in(format: Format) -> Cluster {
    let mut cluster = Cluster::activated_in(format);
    cluster.ask_all(SERVER, 1..=20);
    cluster.now_ms += DAY_MS;
    cluster.ask_all(CLIENT, 5..=9);
    cluster
}

#[test]
fn the_same_log_gives_the_same_bytes() {
    assert_eq!(busy().state.encode_snapshot(), busy().state.encode_snapshot());
}

#[test]
fn a_restored_state_continues_exactly_like_the_original() {
    for format in [Format::OLDEST, Format::NEWEST] {
        let mut original = busy_in(format);
        let mut restored = busy_in(format);
        restored.state = State::decode_snapshot(&original.state.encode_snapshot()).unwrap();
        for days in [0, 10, 25, 40] {
            for cluster in [&mut original, &mut restored] {
                cluster.now_ms += days * DAY_MS;
            }
            assert_eq!(original.ask_all(CLIENT, 3..=30), restored.ask_all(CLIENT, 3..=30));
            assert_eq!(original.state.hash(), restored.state.hash(), "format {format}");
        }
    }
}

#[test]
fn every_difference_shows_in_the_hash() {
    let changes: [fn(&mut Cluster); 6] = [
        |cluster| assert_eq!(cluster.ask(CLIENT, 8).count, 15, "an earlier machine asks again: another order"),
        |cluster| assert_eq!(cluster.ask(CLIENT, 100).count, 16),
        |cluster| cluster.install_key(&host_key(7)),
        |cluster| cluster.certify(4, &host_key(1), GROUP_B, PLATFORM_STANDARD),
        |cluster| cluster.install_catalog(&example_with("serial = 1", "serial = 2")),
        |cluster| {
            cluster.now_ms += 1;
            assert!(cluster.batch(SkewReference::ClusterTime, vec![]).is_empty());
        },
    ];
    for format in [Format::OLDEST, Format::NEWEST] {
        let base = busy_in(format).state.hash();
        for (number, change) in changes.iter().enumerate() {
            let mut cluster = busy_in(format);
            change(&mut cluster);
            assert_ne!(cluster.state.hash(), base, "change {number} in format {format}");
        }
    }
}

#[test]
fn a_newer_format_is_an_error_of_its_own() {
    let mut bytes = busy().state.encode_snapshot();
    assert_eq!(bytes[..2], [0x08, 1], "the format number comes first");
    bytes[1] = u8::try_from(Format::NEWEST.number()).unwrap() + 1;
    let newer = SnapshotError::Newer { found: Format::NEWEST.number() + 1, newest: Format::NEWEST };
    assert_eq!(State::decode_snapshot(&bytes).unwrap_err(), newer);
    assert!(matches!(State::decode_snapshot(b""), Err(SnapshotError::Malformed(_))));
}

#[test]
fn a_damaged_snapshot_is_refused_or_another_sound_state() {
    for format in [Format::OLDEST, Format::NEWEST] {
        damaged_snapshots_are_refused_or_sound(&busy_in(format).state.encode_snapshot());
    }
}

fn damaged_snapshots_are_refused_or_sound(bytes: &[u8]) {
    for place in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.to_vec();
        damaged[place] ^= 0x41;
        if let Ok(state) = State::decode_snapshot(&damaged) {
            state.check_invariants();
        }
        if let Ok(state) = State::decode_snapshot(&bytes[..place]) {
            state.check_invariants();
        }
    }
}

/// Older stores hold format 1: it stays readable, byte for byte, whatever later formats add.
#[test]
fn format_1_stays_what_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spec/format-1.snapshot");
    if std::env::var_os("QUORATE_WRITE_CORPUS").is_some() {
        std::fs::write(path, busy().state.encode_snapshot()).unwrap();
    }
    let stored = std::fs::read(path).unwrap();
    let state = State::decode_snapshot(&stored).unwrap();
    assert_eq!(state.encode_snapshot(), stored);
    assert_eq!(state.time_ms(), Some(START_MS + DAY_MS));
    let count = &state.counts(START_MS + DAY_MS)[0];
    assert_eq!((count.application.as_str(), count.count, count.cache_limit), ("platform", 15, 50));
    assert_eq!(state.keys().map(|key| key.activations.len()).collect::<Vec<_>>(), [3]);
}

fn batch(cluster: &Cluster, machine: u32) -> Command {
    let stamp = Stamp { time_ms: START_MS, skew: SkewReference::ClusterTime, expiry_ms: None };
    Command::Batch(Batch { stamp, records: vec![cluster.record(CLIENT, machine)] })
}

#[test]
fn a_hash_is_kept_at_every_boundary_and_compared_with_the_leaders() {
    let boundary = STATE_HASH_INTERVAL_ENTRIES;
    let mut cluster = Cluster::activated();
    assert_eq!(cluster.state.newest_hash(), None);
    cluster.state.apply(boundary, &batch(&cluster, 1).encode());
    let hash = cluster.state.hash();
    assert_eq!(cluster.state.newest_hash(), Some((boundary, hash)));
    cluster.state.apply(boundary + 1, &batch(&cluster, 2).encode());
    for (index, hash, matches) in
        [(boundary, hash, Some(true)), (boundary, [0; 32], Some(false)), (2 * boundary, hash, None), (7, hash, None)]
    {
        let applied = cluster.state.apply(boundary + 2, &Command::StateHash { index, hash }.encode());
        assert_eq!(applied, Applied::HashChecked { index, matches });
    }
}

#[test]
fn a_boundary_that_fell_on_an_entry_without_a_command_has_its_hash_all_the_same() {
    let boundary = STATE_HASH_INTERVAL_ENTRIES;
    let (mut every, mut skipping) = (Cluster::activated(), Cluster::activated());
    every.state.apply(boundary - 1, &batch(&every, 1).encode());
    skipping.state.apply(boundary - 1, &batch(&skipping, 1).encode());
    // A refused entry changes nothing, like an entry that is not a command.
    every.state.apply(boundary, b"");
    every.state.apply(boundary + 1, &batch(&every, 2).encode());
    skipping.state.apply(boundary + 1, &batch(&skipping, 2).encode());
    assert_eq!(skipping.state.newest_hash(), every.state.newest_hash());
    assert_eq!(skipping.state.newest_hash().unwrap().0, boundary);
}

#[test]
fn a_hash_is_noted_where_a_command_asks_for_it() {
    let mut cluster = Cluster::activated_in(Format::NEWEST);
    let mut older = State::reading_up_to(Format::new(2).unwrap());
    assert_eq!(older.apply(1, &Command::NoteHash.encode()), Applied::Newer);
    assert_eq!(cluster.state.apply(102, &Command::NoteHash.encode()), Applied::Done);
    let hash = cluster.state.hash();
    assert_eq!((cluster.state.noted_hash_index(), cluster.state.hash_at(102)), (Some(102), Some(hash)));
    assert_eq!(cluster.state.newest_hash(), None, "no leader logs it by itself");
    cluster.state.apply(103, &batch(&cluster, 1).encode());
    let applied = cluster.state.apply(104, &Command::StateHash { index: 102, hash }.encode());
    assert_eq!(applied, Applied::HashChecked { index: 102, matches: Some(true) });
    for index in 200..300 {
        cluster.state.apply(index, &Command::NoteHash.encode());
    }
    assert_eq!(cluster.state.hash_at(102), None, "few are kept");
    let restored = State::decode_snapshot(&cluster.state.encode_snapshot()).unwrap();
    assert_eq!((restored.noted_hash_index(), restored.hash()), (None, cluster.state.hash()));
}

#[test]
fn own_hashes_are_neither_in_the_snapshot_nor_in_the_hash() {
    let mut cluster = Cluster::activated();
    let other = cluster.state.clone();
    cluster.state.apply(STATE_HASH_INTERVAL_ENTRIES, b"");
    assert!(cluster.state.newest_hash().is_some());
    assert_eq!(cluster.state.hash(), other.hash());
    let restored = State::decode_snapshot(&cluster.state.encode_snapshot()).unwrap();
    assert_eq!(restored.newest_hash(), None);
}
