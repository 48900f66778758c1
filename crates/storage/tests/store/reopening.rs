use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

use storage::{Batch, Opening, OpeningStep, Store, Writer};
use tempfile::tempdir;
use uuid::Uuid;

use crate::{NODE_1, closed, filled, key, open, put, value};

#[tokio::test]
async fn reopening_keeps_what_was_committed_and_the_identity() {
    let folder = tempdir().unwrap();
    filled(folder.path()).await;
    let owner = storage::Owner { store_if_new: Uuid::from_u128(0x52), ..NODE_1 };
    let store = Store::open(folder.path(), owner).unwrap();
    assert_eq!(store.identity().store, NODE_1.store_if_new, "the UUID of a store never changes");
    for number in 0..64u8 {
        assert_eq!(store.get(key(number).as_bytes()).unwrap(), Some(value(number)));
    }
    let keys: Vec<_> = store.scan(b"key 000").map(|record| record.unwrap().0).collect();
    assert_eq!(keys, (0..10u32).map(|number| key(number).into_bytes()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_store_can_be_opened_and_written_again_and_again() {
    let folder = tempdir().unwrap();
    for round in 0..5u32 {
        let store = open(folder.path()).unwrap();
        let writer = Writer::start(Arc::clone(&store)).unwrap();
        for before in 0..round {
            assert_eq!(store.get(key(before).as_bytes()).unwrap(), Some(b"once".to_vec()), "round {round}");
        }
        writer.commit(put(&key(round), b"once")).await.unwrap();
        writer.commit(put("changed", round.to_be_bytes())).await.unwrap();
        assert_eq!(store.get(b"changed").unwrap(), Some(round.to_be_bytes().to_vec()));
        drop(writer);
        closed(store);
    }
}

#[tokio::test]
async fn the_number_of_writes_only_grows_and_writes_before_a_barrier_are_there_at_the_next_opening() {
    let folder = tempdir().unwrap();
    let mut before = 0;
    for round in 0..3u32 {
        let store = open(folder.path()).unwrap();
        let opened = store.writes();
        assert!(opened.at_opening >= before, "round {round}: {opened:?}, and {before} were durable");
        assert_eq!(opened.durable, 0, "no barrier yet");
        let writer = Writer::start(Arc::clone(&store)).unwrap();
        writer.append_lazily(put("lazily", round.to_be_bytes())).await;
        writer.commit(put("committed", round.to_be_bytes())).await.unwrap();
        before = store.writes().durable;
        assert!(before > opened.at_opening, "round {round}: {before} after {opened:?}");
        drop(writer);
        closed(store);
    }
}

#[tokio::test]
async fn a_removed_key_stays_removed_and_the_last_change_of_a_key_wins() {
    let folder = tempdir().unwrap();
    filled(folder.path()).await;
    let store = open(folder.path()).unwrap();
    let writer = Writer::start(Arc::clone(&store)).unwrap();
    let mut batch = Batch::default();
    batch.remove(key(1u32));
    batch.put(key(2u32), b"first").unwrap();
    batch.put(key(2u32), b"second").unwrap();
    batch.put(key(3u32), b"put").unwrap();
    batch.remove(key(3u32));
    batch.remove(key(1000u32));
    writer.commit(batch).await.unwrap();
    drop(writer);
    closed(store);
    let store = open(folder.path()).unwrap();
    let expected = [(1u32, None), (2, Some(b"second".to_vec())), (3, None), (1000, None)];
    for (number, value) in expected {
        assert_eq!(store.get(key(number).as_bytes()).unwrap(), value, "key {number}");
    }
}

#[tokio::test]
async fn writes_that_wait_together_are_all_acknowledged_and_in_order() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let writer = Writer::start(Arc::clone(&store)).unwrap();
    let (acknowledged, mut order) = tokio::sync::mpsc::channel(500);
    for number in 0..500u32 {
        let acknowledged = acknowledged.clone();
        let done = move |result: Result<(), storage::WriteFailed>| {
            result.unwrap();
            acknowledged.try_send(number).unwrap();
        };
        writer.append(put("last", number.to_be_bytes()), done).await;
    }
    for number in 0..500 {
        assert_eq!(order.recv().await, Some(number));
    }
    assert_eq!(store.get(b"last").unwrap(), Some(499u32.to_be_bytes().to_vec()));
}

#[tokio::test]
async fn a_lazy_write_is_durable_with_the_next_one() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let writer = Writer::start(Arc::clone(&store)).unwrap();
    writer.append_lazily(put("lazy", b"1")).await;
    writer.commit(put("waited for", b"2")).await.unwrap();
    drop(writer);
    closed(store);
    let store = open(folder.path()).unwrap();
    assert_eq!(store.get(b"lazy").unwrap(), Some(b"1".to_vec()));
}

#[tokio::test]
async fn values_of_the_largest_size_never_go_to_files_of_their_own() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let writer = Writer::start(Arc::clone(&store)).unwrap();
    for number in 0..300u32 {
        writer.commit(put(&key(number), vec![7; storage::limits::VALUE_BYTES_MAX])).await.unwrap();
    }
    assert_eq!(store.blobs(), 0);
    fs::write(store.folder().join("sled/blobs/7"), "a page too large for a segment").unwrap();
    assert_eq!(store.blobs(), 1, "what sled keeps outside its log is seen");
    assert!(Batch::default().put("larger", vec![7; storage::limits::VALUE_BYTES_MAX + 1]).is_err());
}

fn holds_all(folder: &Path) {
    let store = open(folder).unwrap();
    for number in 0..64u8 {
        assert_eq!(store.get(key(number).as_bytes()).unwrap(), Some(value(number)), "write {number}");
    }
    let names: BTreeSet<_> = fs::read_dir(folder).unwrap().map(|item| item.unwrap().file_name()).collect();
    assert_eq!(names, ["acknowledged", "identity", "lock", "sled"].map(Into::into).into(), "and nothing is left over");
}

#[tokio::test]
async fn an_opening_that_was_cut_short_at_any_step_loses_nothing() {
    let folder = tempdir().unwrap();
    filled(folder.path()).await;
    let [sled, copy, replaced] = ["sled", "check", "replaced"].map(|name| folder.path().join(name));
    // Interrupted while the copy was made.
    fs::create_dir(&copy).unwrap();
    fs::write(copy.join("db"), "half of it").unwrap();
    holds_all(folder.path());
    // Interrupted between the two renames.
    fs::create_dir(&copy).unwrap();
    fs::rename(&sled, &replaced).unwrap();
    holds_all(folder.path());
    // Interrupted before the replaced database was removed.
    fs::create_dir(&replaced).unwrap();
    fs::write(replaced.join("db"), "what was there before").unwrap();
    holds_all(folder.path());
}

#[tokio::test]
async fn the_checked_copy_is_the_one_that_is_used() {
    let folder = tempdir().unwrap();
    filled(folder.path()).await;
    let db = folder.path().join("sled/db");
    let inode = || fs::metadata(&db).unwrap().ino();
    let found = File::open(&db).unwrap();
    holds_all(folder.path());
    assert_ne!(inode(), found.metadata().unwrap().ino());
}

#[tokio::test]
async fn an_opening_reports_every_step() {
    let folder = tempdir().unwrap();
    filled(folder.path()).await;
    let reports = RefCell::new(Vec::new());
    let report = |opening: Opening| reports.borrow_mut().push(opening);
    drop(Store::open_reporting(folder.path(), NODE_1, &report).unwrap());
    let reports = reports.into_inner();
    let mut steps: Vec<_> = reports.iter().map(|opening| opening.step).collect();
    steps.dedup();
    assert_eq!(
        steps,
        [OpeningStep::Copy, OpeningStep::Recover, OpeningStep::Check, OpeningStep::Sync, OpeningStep::Recover]
    );
    let copied = reports.iter().rfind(|opening| opening.step == OpeningStep::Copy).unwrap();
    assert!(copied.done == copied.total && copied.total == copied.database_bytes && copied.total > 0, "{copied:?}");
    let checked = reports.iter().find(|opening| opening.step == OpeningStep::Check).unwrap();
    assert_eq!(checked.total, 64, "records");
}
