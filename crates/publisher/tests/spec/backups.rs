//! Backup and restore of the records: what is restored, and what is refused.

use std::fs;
use std::path::Path;

use activation::direct::DirectRequest;
use activation::id::{Cmid, MachineDigest, ProductId};
use publisher::{Backup, KeyLimits, Publisher, RestoreError, Restored};
use sha2::{Digest, Sha256};

use crate::world::{World, open_when_closed, request, run};

/// A publisher with keys, activation slots in use, and more records than one write holds.
fn used() -> World {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: 200, reactivations: 9 });
    world.activate((1..=60).map(|host| request(&key, host, 1))).unwrap();
    world.activate((1..=60).map(|host| request(&key, host, 2))).unwrap();
    world.key(KeyLimits::default());
    let direct = run(world.publisher.issue_direct_key("suite-standard-1", 7)).unwrap().key;
    let product = ProductId::derive(world.publisher.trust().publisher, "suite-standard-1");
    let (cmid, machine) = (Cmid([1; 16]), MachineDigest([1; 8]));
    let request = DirectRequest { request_id: [1; 16], key: direct, product, cmid, machine };
    run(world.publisher.activate_directly(&request)).unwrap();
    world
}

fn backup(world: &World) -> Backup {
    run(world.publisher.backup()).unwrap()
}

/// Closes the publisher, and returns its folder with the guard that deletes it.
fn closed(world: World) -> (tempfile::TempDir, std::path::PathBuf) {
    let World { _temporary, folder, publisher } = world;
    drop(publisher);
    (_temporary, folder)
}

/// Restores as soon as the folder is no longer in use.
fn restore(folder: &Path, bytes: &[u8]) -> Result<Restored, RestoreError> {
    for _ in 0..1_000_000 {
        match run(Publisher::restore(folder, bytes)) {
            Err(RestoreError::Records(publisher::RecordsError::Open(storage::OpenError::InUse { .. }))) => {
                std::thread::yield_now();
            }
            outcome => return outcome,
        }
    }
    panic!("{} stays in use", folder.display());
}

#[test]
fn what_was_backed_up_comes_back_where_the_records_are_missing() {
    let world = used();
    let saved = backup(&world);
    assert_eq!(saved.records, 2 + 1 + 1 + 120);
    let (keys, direct) = (world.publisher.keys().unwrap(), world.publisher.direct_keys().unwrap());
    let (_temporary, folder) = closed(world);
    fs::remove_dir_all(folder.join("records")).unwrap();
    let restored = restore(&folder, &saved.bytes).unwrap();
    assert_eq!((restored.records, restored.made_ms), (saved.records, saved.made_ms));
    let publisher = open_when_closed(&folder);
    assert_eq!(publisher.keys().unwrap(), keys);
    assert_eq!(publisher.direct_keys().unwrap(), direct);
    let again = run(publisher.backup()).unwrap();
    let strip = |bytes: &[u8]| bytes[..40].to_vec();
    assert_eq!((again.records, strip(&again.bytes)), (saved.records, strip(&saved.bytes)));
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!files.iter().any(|name| name.to_str().unwrap().starts_with("records.")), "{files:?}");
}

#[test]
fn a_backup_is_restored_over_empty_records_and_over_no_others() {
    let world = used();
    let saved = backup(&world);
    let (_temporary, folder) = closed(world);
    assert!(matches!(restore(&folder, &saved.bytes), Err(RestoreError::NotEmpty { .. })));
    let before = open_when_closed(&folder).keys().unwrap();
    assert_eq!(before.len(), 2);

    // The same publisher on a new machine, with its keys and trust file.
    let empty = World::new();
    let records = empty.folder.join("records");
    let (_other, elsewhere) = closed(empty);
    fs::copy(folder.join("trust.toml"), elsewhere.join("trust.toml")).unwrap();
    restore(&elsewhere, &saved.bytes).unwrap();
    assert!(records.join("identity").is_file());
    assert_eq!(open_when_closed(&elsewhere).keys().unwrap(), before);
}

#[test]
fn what_is_torn_altered_newer_or_anothers_is_refused_and_nothing_is_touched() {
    let world = used();
    let saved = backup(&world).bytes;
    let other = backup(&used()).bytes;
    let (_temporary, folder) = closed(world);
    fs::remove_dir_all(folder.join("records")).unwrap();
    let flipped = |at: usize| {
        let mut bytes = saved.clone();
        bytes[at] ^= 1;
        bytes
    };
    // The format is the first field: field 1 as a varint. The checksum is computed again.
    let title = b"quorate publisher backup\n".len();
    let mut newer = saved[..saved.len() - 32].to_vec();
    newer[title + 1] = 2;
    let checksum = Sha256::digest(&newer);
    newer.extend_from_slice(&checksum);
    let refused = |bytes: &[u8]| restore(&folder, bytes).unwrap_err();
    assert!(matches!(refused(b""), RestoreError::NotABackup));
    assert!(matches!(refused(&flipped(0)), RestoreError::NotABackup));
    for length in [title, title + 31, title + 32, saved.len() / 2, saved.len() - 1] {
        assert!(matches!(refused(&saved[..length]), RestoreError::Altered), "{length}");
    }
    for at in [title, title + 1, saved.len() / 2, saved.len() - 33, saved.len() - 32, saved.len() - 1] {
        assert!(matches!(refused(&flipped(at)), RestoreError::Altered), "{at}");
    }
    assert!(matches!(refused(&newer), RestoreError::Newer { found: 2 }));
    assert!(matches!(refused(&other), RestoreError::OtherPublisher { .. }));
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!files.iter().any(|name| name.to_str().unwrap().starts_with("records")), "{files:?}");
    restore(&folder, &saved).expect("the complete file is valid");
}

#[test]
fn a_publisher_that_is_open_is_not_restored_under_its_feet() {
    let world = World::with_catalog();
    let saved = backup(&world);
    let restored = run(Publisher::restore(&world.folder, &saved.bytes));
    assert!(matches!(restored, Err(RestoreError::Records(_))), "{restored:?}");
    world.key(KeyLimits::default());
}

#[test]
fn a_crash_between_the_moves_is_mended_by_the_next_attempt() {
    let world = World::with_catalog();
    let saved = backup(&world);
    let (_temporary, folder) = closed(world);
    fs::rename(folder.join("records"), folder.join("records.replaced")).unwrap();
    fs::create_dir(folder.join("records.restoring")).unwrap();
    restore(&folder, &saved.bytes).unwrap();
    assert_eq!(open_when_closed(&folder).keys().unwrap(), []);
    assert!(!folder.join("records.replaced").exists());
}
