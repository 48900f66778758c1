//! A disk that hangs: a sync returns neither success nor an error.

use std::{sync::Arc, time::Duration};

use futures::executor::block_on;
use storage::{Batch, Disk, Kind, Owner, SledDisk, Store, WriteFailed};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::strict::StrictFileSystem;

/// How long a test waits for the disk to begin or to finish its work.
const TIMEOUT: Duration = Duration::from_secs(60);

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let began = tokio::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < TIMEOUT, "timed out waiting until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn submit(disk: &SledDisk, value: &[u8]) -> mpsc::Receiver<Result<(), WriteFailed>> {
    let mut batch = Batch::default();
    batch.put("key", value).unwrap();
    let (done, outcome) = mpsc::channel(1);
    block_on(disk.submit(batch, Some(Box::new(move |result| done.try_send(result).unwrap()))));
    outcome
}

#[test]
fn machine_a_disk_reports_for_how_long_it_has_not_finished_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let files = StrictFileSystem::empty();
    let mounted = files.mount(&folder.path().join("mounted"));
    let owner = Owner { kind: Kind::Node, number: 1, store_if_new: Uuid::from_u128(1) };
    let store = Arc::new(Store::open(&mounted.path().join("store"), owner).unwrap());
    let disk = SledDisk::start(store, &mounted.path().join("snapshots"), |_| {}).unwrap();
    submit(&disk, b"before").blocking_recv().unwrap().unwrap();
    eventually("nothing is under way", || disk.hanging_for() == Duration::ZERO);

    files.hang(true);
    let mut outcome = submit(&disk, b"hangs");
    eventually("the write hangs", || disk.hanging_for() >= Duration::from_millis(300));
    assert!(outcome.try_recv().is_err(), "nothing is acknowledged meanwhile");

    files.hang(false);
    outcome.blocking_recv().unwrap().unwrap();
    eventually("nothing is under way any more", || disk.hanging_for() == Duration::ZERO);
}
