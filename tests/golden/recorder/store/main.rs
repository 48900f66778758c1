//! Makes the code of an older commit write a golden store: a cluster of one node that applies the commands of a
//! golden log.
//!
//! `cargo xtask golden record COMMIT` places this file into the `replication` crate of that commit, as an example,
//! and runs it there. It uses that commit's public API and is not part of this workspace's build.
//!
//! ```text
//! golden_store LOG FORMAT FOLDER [ENTRIES]
//! LOG                       the log that `golden_log` wrote
//! FORMAT                    the format that the node writes; only the log's commands in this format are applied
//! FOLDER/store/             the node's store
//! FOLDER/snapshots/         its snapshot, where there is one
//! FOLDER/backup             a backup of the same state
//! FOLDER/hashes.txt         index and state hash after each command, separated by a tab
//! ENTRIES                   after this many entries a snapshot is made, and the log before it is purged
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a recording that fails is no recording"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use activation::state::{Command, Format};
use replication::{Clock, Environment, Pace, RaftSettings, Replica};
use storage::{Kind, Owner, SledDisk, Store};
use tonic::transport::Endpoint;
use uuid::Uuid;

const NODE: u64 = 1;

/// 2026-01-01T00:00:00Z, in milliseconds since 1970.
const START_MS: u64 = 1_767_225_600_000;

/// The node's address, where no process listens: the node is the only member.
const ADDRESS: &str = "127.0.0.1:1";

/// Longer commands are refused for their length, which the golden log records; here they would only make the files
/// larger.
const COMMAND_BYTES_MAX: usize = 8 * 1024;

/// A clock that stands still.
struct Stopped;

impl Clock for Stopped {
    fn wall_ms(&self) -> u64 {
        START_MS
    }

    fn is_synchronised(&self) -> bool {
        true
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (log, format, folder, entries) = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [log, format, folder] => (*log, *format, *folder, None),
        [log, format, folder, entries] => (*log, *format, *folder, Some(entries.parse().unwrap())),
        _ => panic!("usage: golden_store LOG FORMAT FOLDER [ENTRIES]"),
    };
    assert_eq!(format, Format::NEWEST.to_string(), "a node writes the newest format");
    let log = std::fs::read_to_string(log).unwrap();
    let commands = commands(&log, &format!("format {format}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(record(Path::new(folder), commands, entries));
}

/// The commands of the log from the section `first` up to the next change of the format.
fn commands(log: &str, first: &str) -> Vec<Vec<u8>> {
    let begins = |line: &str, with: &str| line.strip_prefix("# ").is_some_and(|text| text.starts_with(with));
    let part = log.lines().skip_while(|line| *line != format!("# {first}")).skip(1);
    let part = part.take_while(|line| !begins(line, "format "));
    let commands: Vec<_> = part.filter(|line| !line.starts_with('#')).map(command).collect();
    assert!(!commands.is_empty(), "the log has no part {first:?}");
    commands
}

/// The command of a line, which is its last field.
fn command(line: &str) -> Vec<u8> {
    decoded(line.rsplit('\t').next().unwrap())
}

/// Decodes base64; no dependency of this crate does.
fn decoded(text: &str) -> Vec<u8> {
    let value = |symbol: u8| match symbol {
        b'A'..=b'Z' => symbol - b'A',
        b'a'..=b'z' => symbol - b'a' + 26,
        b'0'..=b'9' => symbol - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("not base64"),
    };
    let mut bytes = Vec::new();
    for symbols in text.as_bytes().chunks(4) {
        let symbols: Vec<_> = symbols.iter().filter(|symbol| **symbol != b'=').map(|symbol| value(*symbol)).collect();
        let number = (0..4).fold(0_u32, |number, at| number << 6 | u32::from(symbols.get(at).copied().unwrap_or(0)));
        bytes.extend(number.to_be_bytes().into_iter().skip(1).take(symbols.len() - 1));
    }
    bytes
}

async fn record(folder: &Path, commands: Vec<Vec<u8>>, entries: Option<u64>) {
    let owner = Owner { kind: Kind::Node, number: NODE, store_if_new: Uuid::from_u128(0x601D) };
    let store = Arc::new(Store::open(&folder.join("store"), owner).unwrap());
    let snapshots = folder.join("snapshots");
    let disk = Arc::new(SledDisk::start(store, &snapshots, |_| {}).unwrap());
    let connect: replication::Connect =
        Arc::new(|address| Ok(Endpoint::from_shared(format!("http://{address}"))?.connect_lazy()));
    let environment = Environment::new(Arc::new(Stopped), connect, (NODE, NODE), Arc::new(()));
    let mut pace = Pace::default();
    if let Some(entries) = entries {
        pace.snapshot_every_entries = entries;
    }
    let settings = RaftSettings::default();
    let replica = Replica::start_at_pace(disk, &settings, environment, pace).await.unwrap();
    replica.bootstrap(&BTreeMap::from([(NODE, ADDRESS.to_owned())]), Duration::from_secs(10)).await.unwrap();
    let mut hashes = String::new();
    let mut refused = 0;
    for bytes in commands.into_iter().filter(|bytes| bytes.len() <= COMMAND_BYTES_MAX) {
        match Command::decode_written_in(Format::NEWEST, Format::NEWEST, &bytes) {
            Ok(Command::Batch(batch)) => {
                for record in &batch.records {
                    replica.submit(record).await.unwrap();
                }
            }
            // Commands that the leader makes itself, and bytes that no leader writes, are left out.
            Ok(Command::StateHash { .. } | Command::NoteHash) | Err(_) => continue,
            Ok(Command::Once { id, command }) => {
                refused += usize::from(replica.propose_once(id, &command).await.is_err())
            }
            Ok(command) => refused += usize::from(replica.propose(&command).await.is_err()),
        }
        let (index, hash) = replica.state_hash();
        write!(hashes, "{index}\t").unwrap();
        hash.iter().for_each(|byte| write!(hashes, "{byte:02x}").unwrap());
        hashes.push('\n');
    }
    std::fs::write(folder.join("backup"), replica.backup().await.unwrap()).unwrap();
    std::fs::write(folder.join("hashes.txt"), &hashes).unwrap();
    if entries.is_some() {
        let snapshot = snapshots.join(replication::SNAPSHOT_FILE);
        while !snapshot.exists() || replica.command_at(3).is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    replica.shutdown().await;
    println!("{} commands, {refused} of them refused", hashes.lines().count());
}
