//! Records activations until it is stopped, and verifies afterwards that nothing it acknowledged is lost. The
//! durability tests run it.
//!
//! ```text
//! crash_writer write DIR [COUNT]      records activations of COUNT distinct machines, or without end; prints a
//!                                     line for each as soon as it is acknowledged: INDEX OFFSET CMID
//! crash_writer check DIR ACKS         opens DIR again and looks up every line of the file ACKS
//! ```
//!
//! With the environment variable `QUORATE_TEST_SNAPSHOT_EVERY` the writer makes a snapshot after that many entries,
//! and purges the entries that it covers; purged entries stay in a file that `check` reads as well.

#[path = "../../tests/replicas/world.rs"]
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use activation::{
    id::Cmid,
    state::{Batch, Command, RecordOutcome},
};
use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use replication::{Clock, Environment, Pace, RaftSettings, Recorded, Replica, read_commands};
use storage::{Disk, Kind, Owner, SledDisk, Store};
use tokio::time::{Instant, timeout};
use tonic::transport::Endpoint;
use uuid::Uuid;

const NODE: u64 = 1;

/// Number of concurrent callers, so that an entry holds several requests.
const CALLERS: u64 = 32;

/// Number of machines that one run may use: the next run starts after them.
const MACHINES_PER_ENTRY: u64 = 1 << 20;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Environment variable: number of entries after which the writer makes a snapshot; without it, none.
const SNAPSHOT_EVERY: &str = "QUORATE_TEST_SNAPSHOT_EVERY";

/// A clock that is always reported as synchronised.
struct SteadyClock(Instant);

impl Clock for SteadyClock {
    fn is_synchronised(&self) -> bool {
        true
    }

    fn wall_ms(&self) -> u64 {
        world::START_MS + u64::try_from(self.0.elapsed().as_millis()).unwrap_or(0)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["write", folder] => write(Path::new(folder), u64::MAX).await,
        ["write", folder, count] => write(Path::new(folder), count.parse().context("COUNT is not a number")?).await,
        ["check", folder, acknowledged] => check(Path::new(folder), Path::new(acknowledged)).await,
        _ => bail!("usage: crash_writer write DIR [COUNT] | crash_writer check DIR ACKS"),
    }
}

/// Opens the disk in DIR, with the folder layout of a node.
fn open(folder: &Path) -> Result<Arc<dyn Disk>> {
    let owner = Owner { kind: Kind::Node, number: NODE, store_if_new: Uuid::from_u128(1) };
    let store = Arc::new(Store::open(&folder.join("store"), owner)?);
    Ok(Arc::new(SledDisk::start(store, &folder.join("snapshots"), |_| {})?.keeping_purged()?))
}

async fn start(disk: Arc<dyn Disk>) -> Result<Replica> {
    let connect = Arc::new(|address: &str| Ok(Endpoint::from_shared(format!("http://{address}"))?.connect_lazy()));
    let environment = Environment::new(Arc::new(SteadyClock(Instant::now())), connect, (NODE, 1), Arc::new(()));
    let (mut settings, mut pace) = (RaftSettings { keep_purged: true, ..RaftSettings::default() }, Pace::default());
    if let Ok(entries) = env::var(SNAPSHOT_EVERY) {
        settings.purge_what_is_kept = true;
        pace.snapshot_every_entries = entries.parse().with_context(|| format!("{SNAPSHOT_EVERY} is not a number"))?;
    }
    Ok(Replica::start_at_pace(disk, &settings, environment, pace).await?)
}

async fn write(folder: &Path, count: u64) -> Result<()> {
    let replica = start(open(folder)?).await?;
    if !replica.is_initialised().await {
        // A cluster of one node makes no calls, so the address is never used.
        let addresses = BTreeMap::from([(NODE, "127.0.0.1:1".to_owned())]);
        replica.bootstrap(&addresses, TIMEOUT).await?;
    }
    for command in world::activation([NODE]) {
        replica.propose(&command).await?;
    }
    let next = AtomicU64::new(0);
    let first = replica.cluster().last_index * MACHINES_PER_ENTRY;
    let callers = (0..CALLERS).map(|_| async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return anyhow::Ok(());
            }
            acknowledge(&record(&replica, first + number).await?, first + number)?;
        }
    });
    try_join_all(callers).await?;
    Ok(())
}

async fn record(replica: &Replica, machine: u64) -> Result<Recorded> {
    let recorded = replica.submit(&world::record(NODE, machine, replica.wall_ms())).await?;
    ensure!(
        matches!(recorded.outcome, RecordOutcome::Counted(_)),
        "machine {machine} was refused: {:?}",
        recorded.outcome
    );
    Ok(recorded)
}

/// Prints one line, in one write, before the next request of this caller.
fn acknowledge(recorded: &Recorded, machine: u64) -> io::Result<()> {
    let line = format!("{} {} {}\n", recorded.log_index, recorded.offset, world::cmid(machine));
    io::stdout().lock().write_all(line.as_bytes())
}

async fn check(folder: &Path, acknowledged: &Path) -> Result<()> {
    let acknowledged = fs::read_to_string(acknowledged)?;
    let disk = open(folder)?;
    let replica = start(Arc::clone(&disk)).await?;
    ensure!(replica.is_initialised().await, "the whole log is lost, including the membership");
    let applied = async { while replica.read_point().await.is_err() {} };
    timeout(TIMEOUT, applied).await.context("the reopened replica did not apply the acknowledged entries in time")?;
    let batches = batches(&*disk)?;
    for line in acknowledged.lines() {
        let (index, offset, cmid) = parse(line).with_context(|| format!("not an acknowledgement: {line:?}"))?;
        let found = batches.get(&index).and_then(|batch| batch.records.get(offset)).map(|record| record.cmid);
        ensure!(found == Some(cmid), "acknowledged, but entry {index} holds {found:?} at offset {offset}: {cmid}");
    }
    let mut remembered = BTreeSet::new();
    let newest_first = batches.values().rev().flat_map(|batch| batch.records.iter().rev());
    for record in newest_first {
        if remembered.len() == world::CACHE_LIMIT as usize {
            break;
        }
        remembered.insert(record.cmid);
        let known = replica.view(|state| state.seen(record.cmid).next().is_some());
        ensure!(known, "in the log, but not in the state: {}", record.cmid);
    }
    Ok(())
}

/// All batches in the log, including those that were purged from it.
fn batches(disk: &dyn Disk) -> Result<BTreeMap<u64, Batch>> {
    let mut batches = BTreeMap::new();
    for (index, command) in read_commands(disk)? {
        if let Command::Batch(batch) = Command::decode(&command)? {
            batches.insert(index, batch);
        }
    }
    Ok(batches)
}

fn parse(line: &str) -> Option<(u64, usize, Cmid)> {
    let mut words = line.split(' ');
    let acknowledgement = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(acknowledgement)
}
