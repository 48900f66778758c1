//! Stores that must be refused, and must be left unchanged.

use std::{fs, path::Path};

use storage::{Kind, OpenError, Owner, Store};
use tempfile::tempdir;

use crate::{
    NODE_1,
    files::{changed, content, edit, last_place},
    filled, key, open, refusal, value,
};

/// A change that damages a store.
type Deed = fn(&Path);

/// Whether a refusal is the expected one.
type Expected = fn(&OpenError) -> bool;

fn is_damaged(error: &OpenError) -> bool {
    matches!(error, OpenError::Damaged { .. })
}

async fn assert_refused_and_left_alone(case: &str, deed: Deed, owner: Owner, expected: Expected) {
    let folder = tempdir().unwrap();
    filled(folder.path()).await;
    deed(folder.path());
    let before = content(folder.path());
    for attempt in ["first", "second"] {
        let error = refusal(folder.path(), owner);
        assert!(expected(&error), "{case}, {attempt} attempt: {error}");
        let changed = changed(&before, &content(folder.path()));
        assert!(changed.is_empty(), "{case}, {attempt} attempt changed {changed:?}");
    }
}

#[tokio::test]
async fn a_damaged_store_is_refused_and_left_unchanged() {
    let deeds: [(&str, Deed); 14] = [
        ("no database", |folder| fs::remove_dir_all(folder.join("sled")).unwrap()),
        ("no database file", |folder| fs::remove_file(folder.join("sled/db")).unwrap()),
        ("an emptied database file", |folder| fs::write(folder.join("sled/db"), b"").unwrap()),
        ("a database file of zeros", |folder| edit(&folder.join("sled/db"), |bytes| bytes.fill(0))),
        ("a newly created database", |folder| {
            fs::remove_dir_all(folder.join("sled")).unwrap();
            drop(sled::Config::new().path(folder.join("sled")).segment_size(8 << 20).open().unwrap());
        }),
        ("a database file cut in half", |folder| {
            edit(&folder.join("sled/db"), |bytes| bytes.truncate(last_place(bytes, &value(32))));
        }),
        ("a database file without its last write", |folder| {
            edit(&folder.join("sled/db"), |bytes| bytes.truncate(last_place(bytes, &value(63))));
        }),
        ("a flipped bit at the beginning", |folder| edit(&folder.join("sled/db"), |bytes| bytes[40] ^= 1)),
        ("a flipped bit in the middle", |folder| {
            edit(&folder.join("sled/db"), |bytes| {
                let place = last_place(bytes, &value(32));
                bytes[place] ^= 4;
            });
        }),
        ("a flipped bit in the last write", |folder| {
            edit(&folder.join("sled/db"), |bytes| {
                let place = last_place(bytes, &value(63));
                bytes[place] ^= 128;
            });
        }),
        ("no mark", |folder| fs::remove_file(folder.join("acknowledged")).unwrap()),
        ("a cut mark", |folder| edit(&folder.join("acknowledged"), |bytes| bytes.truncate(8))),
        ("no identity", |folder| fs::remove_file(folder.join("identity")).unwrap()),
        ("an identity that is no identity", |folder| fs::write(folder.join("identity"), b"\xff\xfe\n").unwrap()),
    ];
    for (case, deed) in deeds {
        assert_refused_and_left_alone(case, deed, NODE_1, is_damaged).await;
    }
}

#[tokio::test]
async fn a_store_that_went_back_in_time_is_refused() {
    let folder = tempdir().unwrap();
    filled(folder.path()).await;
    let older = tempdir().unwrap();
    fs::copy(folder.path().join("sled/db"), older.path().join("db")).unwrap();
    filled(folder.path()).await;
    for snapshot in fs::read_dir(folder.path().join("sled")).unwrap() {
        let path = snapshot.unwrap().path();
        if path.is_file() && !path.ends_with("conf") {
            fs::remove_file(path).unwrap();
        }
    }
    fs::copy(older.path().join("db"), folder.path().join("sled/db")).unwrap();
    let before = content(folder.path());
    let error = refusal(folder.path(), NODE_1);
    assert!(is_damaged(&error) && error.to_string().contains("was acknowledged"), "{error}");
    assert_eq!(changed(&before, &content(folder.path())), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn every_refusal_names_the_folder_and_the_remedy() {
    let folder = tempdir().unwrap();
    filled(folder.path()).await;
    fs::remove_file(folder.path().join("sled/db")).unwrap();
    let words = refusal(folder.path(), NODE_1).to_string();
    assert!(words.contains(&folder.path().display().to_string()) && words.contains("backup"), "{words}");
}

#[tokio::test]
async fn the_store_of_another_owner_is_refused_and_left_unchanged() {
    let others = [Owner { number: 2, ..NODE_1 }, Owner { kind: Kind::Publisher, number: 0, ..NODE_1 }];
    for owner in others {
        let expected: Expected = |error| matches!(error, OpenError::OtherOwner { found, .. } if found.owner == 1);
        assert_refused_and_left_alone("another's", |_| {}, owner, expected).await;
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_by_its_number_whatever_other_fields_it_has() {
    let newer: Deed = |folder| {
        let path = folder.join("identity");
        let text = fs::read_to_string(&path).unwrap().replace("format = 1", "format = 7\nwhat_is_this = [1, 2]");
        fs::write(&path, text).unwrap();
    };
    let expected: Expected = |error| matches!(error, OpenError::NewerFormat { found: 7, .. });
    assert_refused_and_left_alone("newer", newer, NODE_1, expected).await;
}

#[tokio::test]
async fn a_store_is_opened_by_one_at_a_time() {
    let folder = tempdir().unwrap();
    filled(folder.path()).await;
    let first = open(folder.path()).unwrap();
    assert!(matches!(refusal(folder.path(), NODE_1), OpenError::InUse { .. }));
    assert!(first.get(key(0u32).as_bytes()).unwrap().is_some(), "the first one can still read");
    drop(first);
    Store::open(folder.path(), NODE_1).unwrap();
}

#[tokio::test]
async fn a_store_whose_creation_was_interrupted_is_completed() {
    let leftovers: [(&str, Deed); 3] = [
        ("an empty folder of sled", |folder| fs::create_dir_all(folder.join("sled")).unwrap()),
        ("a database without a mark", |folder| {
            drop(open(folder).unwrap());
            fs::remove_file(folder.join("identity")).unwrap();
            fs::remove_file(folder.join("acknowledged")).unwrap();
        }),
        ("a database without an identity", |folder| {
            drop(open(folder).unwrap());
            fs::remove_file(folder.join("identity")).unwrap();
        }),
    ];
    for (case, deed) in leftovers {
        let folder = tempdir().unwrap();
        deed(folder.path());
        let opened = open(folder.path());
        assert!(opened.is_ok(), "{case}: {}", opened.err().unwrap());
        drop(opened);
        open(folder.path()).unwrap();
    }
}
