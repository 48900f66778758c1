//! Stores and backups that an older version wrote (`tests/golden/`, by `cargo xtask golden record`), opened with
//! today's code.
//!
//! Tests of the crate `activation` replay the logs among the golden files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use activation::state::State;
use prost::Message;
use quorate_tests::{Cluster, Plan, Quorate, eventually, unpack, words};
use replication::{Backup, BackupError, SNAPSHOT_FILE, read_commands, recover};
use serde_json::Value;
use storage::{Kind, Owner, SledDisk, Store};
use tempfile::TempDir;
use uuid::Uuid;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

/// Folder of the golden files.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");

/// Each format, with the commit that wrote it.
const FORMATS: [(u32, &str); 3] = [(1, "aa5b105"), (2, "aa5b105"), (3, "bd99c00")];

/// Number of the node that wrote the stores.
const NODE: u64 = 1;

/// A cluster of one node that wrote one format, with its whole log, or with a log that was purged after a snapshot.
struct Golden {
    name: String,
    format: u32,
    folder: TempDir,
}

impl Golden {
    fn unpacked(kind: &str, (format, commit): (u32, &str)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("{kind}-{format}");
        unpack(&Path::new(GOLDEN).join(commit).join(format!("{name}.folder")), &folder.path().join("node"));
        Self { name, format, folder }
    }

    fn all() -> Vec<Self> {
        let kinds = ["store", "purged"];
        kinds.iter().flat_map(|kind| FORMATS.map(|format| Self::unpacked(kind, format))).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("node").join(name)
    }

    /// Index and state hash after each recorded command.
    fn hashes(&self) -> Vec<(u64, String)> {
        let text = fs::read_to_string(self.path("hashes.txt")).unwrap();
        let hash = |line: &str| {
            let (index, hash) = line.split_once('\t').unwrap();
            (index.parse().unwrap(), hash.to_owned())
        };
        text.lines().map(hash).collect()
    }

    fn last_hash(&self) -> (u64, String) {
        self.hashes().pop().unwrap()
    }

    fn disk(&self) -> Arc<SledDisk> {
        open(&self.path("store"), &self.path("snapshots"))
    }
}

fn open(store: &Path, snapshots: &Path) -> Arc<SledDisk> {
    let owner = Owner { kind: Kind::Node, number: NODE, store_if_new: Uuid::from_u128(7) };
    let store = Arc::new(Store::open(store, owner).unwrap());
    Arc::new(SledDisk::start(store, snapshots, |_| {}).unwrap())
}

fn hex(hash: [u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(&hash)
}

/// The state in a node's snapshot.
fn snapshot(folder: &Path) -> State {
    let file = fs::read(folder.join(SNAPSHOT_FILE)).unwrap();
    let state = api::log::v1::Snapshot::decode(file.as_slice()).unwrap().state;
    State::decode_snapshot(&state).unwrap()
}

#[tokio::test]
async fn golden_stores_hold_what_was_recorded_and_lead_to_the_recorded_state() {
    for golden in Golden::all() {
        let name = &golden.name;
        let disk = golden.disk();
        let commands = read_commands(&*disk).unwrap();
        if golden.name.starts_with("purged") {
            assert!(!commands.contains_key(&5) && golden.path("snapshots").join(SNAPSHOT_FILE).exists(), "{name}");
        } else {
            let mut state = State::new();
            let mut hashes = golden.hashes().into_iter().peekable();
            for (index, command) in commands {
                state.apply(index, &command);
                state.check_invariants();
                while let Some((_, hash)) = hashes.next_if(|(recorded, _)| *recorded == index) {
                    assert_eq!(hex(state.hash()), hash, "{name}: entry {index}");
                }
            }
            assert_eq!(hashes.next(), None, "{name}: a recorded entry is not in the log");
        }
        // One state from all that the store and the snapshot beside it hold.
        recover(disk, "127.0.0.1:1").await.unwrap();
        let state = snapshot(&golden.path("snapshots"));
        assert_eq!((state.format().number(), hex(state.hash())), (golden.format, golden.last_hash().1), "{name}");
    }
}

#[tokio::test]
async fn golden_backups_are_restored_to_the_recorded_state_and_altered_ones_refused() {
    for golden in Golden::all() {
        let name = &golden.name;
        let file = fs::read(golden.path("backup")).unwrap();
        let mut altered = file.clone();
        altered[file.len() / 2] ^= 1;
        assert!(matches!(Backup::read(&altered), Err(BackupError::Damaged)), "{name}");
        let backup = Backup::read(&file).unwrap();
        let restored = golden.folder.path().join("restored");
        let snapshots = restored.join("snapshots");
        backup.restore(open(&restored.join("store"), &snapshots), "127.0.0.1:1").await.unwrap();
        let state = snapshot(&snapshots);
        assert_eq!((state.format().number(), hex(state.hash())), (golden.format, golden.last_hash().1), "{name}");
    }
}

/// What a node reports of its counts and of its audit record.
async fn said(cluster: &Cluster, format: u32) -> (Value, Value) {
    let counts = cluster.administrate(NODE, &words!["count"]).await["applications"].clone();
    if format < 2 {
        return (counts, Value::Null);
    }
    let audit = cluster.administrate(NODE, &words!["cluster", "audit", "--verify", "--all"]).await;
    (counts, audit["entries"].clone())
}

/// A cluster of one node that has a configuration and was never started.
async fn one_node() -> Cluster {
    Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await
}

async fn started(cluster: &mut Cluster) {
    cluster.start(NODE);
    eventually("it leads", async || cluster.standing(NODE).await?.leader).await;
}

#[tokio::test]
async fn a_node_of_today_starts_from_a_golden_store_and_from_a_restored_golden_backup_with_the_same_content() {
    for golden in Golden::all() {
        let name = &golden.name;
        let mut upgraded = one_node().await;
        let data = upgraded.node(NODE).data.clone();
        for folder in ["store", "snapshots"] {
            if golden.path(folder).exists() {
                quorate_tests::copy_folder(&golden.path(folder), &data.join(folder)).unwrap();
            }
        }
        started(&mut upgraded).await;
        let mut restored = one_node().await;
        let config = restored.node(NODE).config.clone();
        let backup = golden.path("backup");
        let done = restored.run(&words!["cluster", "restore", &backup, "--config", &config, "--json"]).await;
        assert_eq!(done.code, Some(0), "{name}: {}", done.stderr);
        started(&mut restored).await;
        let from_store = said(&upgraded, golden.format).await;
        assert_eq!(from_store, said(&restored, golden.format).await, "{name}");
        let status = upgraded.led(NODE).await;
        assert_eq!(status["format"], golden.format, "{name}");
        if golden.format >= 2 {
            let entries = from_store.1.as_array().unwrap();
            assert!(entries.len() > 100, "{name}: {} acts", entries.len());
        }
        assert_eq!(upgraded.stop(NODE).await, Some(0), "{name}");
        assert_eq!(restored.stop(NODE).await, Some(0), "{name}");
    }
}
