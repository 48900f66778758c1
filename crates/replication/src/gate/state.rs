//! The state of the gate: what is known of each member's starts, and whether this node may take part.
//!
//! ```text
//! g                     how often a node has run on this store
//! k<node, 8 bytes>      the newest start that is known of a member
//! q                     this node is quarantined, and why
//! ```
//! Records of the store beside those of the log. A member's start is durable here before this node agrees to it; how many
//! writes it reports meanwhile becomes durable with the next write of the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use api::{log::v1 as log, peer::v1 as peer};
use prost::Message;
use storage::{Batch, Disk, Identity, WriteFailed};
use tokio::sync::{Notify, watch};
use tonic::Status;
use uuid::Uuid;

use crate::{
    gate::incarnation::{Incarnation, Objection, incarnation_in, incarnation_out, judge, learned},
    planted::{Bug, Planted},
    raft::{
        log::LogDamaged,
        types::{LogId, Vote},
        wire::Malformed,
    },
};

const GENERATION: &[u8] = b"g";
const KNOWN: u8 = b'k';
const QUARANTINE: &[u8] = b"q";

fn known_key(node: u64) -> [u8; 9] {
    let mut key = [KNOWN; 9];
    key[1..].copy_from_slice(&node.to_be_bytes());
    key
}

/// Whether this node may take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It asks the other members.
    Waiting,
    /// It takes part.
    Admitted,
    /// It takes no part any more, for this reason.
    Quarantined(Arc<str>),
}

/// Why the gate could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GateError {
    #[error(transparent)]
    Record(#[from] LogDamaged),
    #[error(transparent)]
    Write(#[from] WriteFailed),
}

/// The gate of one node.
pub(crate) struct Gate {
    node: u64,
    /// This start.
    own: Incarnation,
    /// Writes of this node that were durable when it last promised something.
    promised: Arc<AtomicU64>,
    disk: Arc<dyn Disk>,
    known: Mutex<Known>,
    /// Held while a member's start is judged and stored: of two processes of one node only one is agreed to.
    turn: tokio::sync::Mutex<()>,
    standing: watch::Sender<Standing>,
    /// Why the disk took no write, once it has not: openraft does not see what is written here, and the node must stop.
    failed: watch::Sender<Option<WriteFailed>>,
    /// Whether the disk held a membership with this node at the start.
    pub(crate) was_member: bool,
    /// Wakes the task that says Hello.
    pub(crate) wake: Notify,
    planted: Planted,
}

#[derive(Default)]
struct Known {
    starts: BTreeMap<u64, Incarnation>,
    /// Members whose start says more here than on the disk,
    unstored: BTreeSet<u64>,
    /// and the process of each that the disk names.
    stored: BTreeMap<u64, u64>,
    /// Members that know this process: the store of each.
    agreed: BTreeMap<u64, Uuid>,
    /// The last entry that a member with this store acknowledged to this leader.
    acknowledged: BTreeMap<u64, (Uuid, Vote, LogId)>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("own", &self.own).field("standing", &*self.standing.borrow()).finish()
    }
}

/// How a member of a cluster begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    /// Whether the disk holds a membership with this node.
    pub(crate) was_member: bool,
    /// Whether it is the only member.
    pub(crate) is_alone: bool,
}

impl Gate {
    /// Reads what the disk holds. Unless the node is quarantined the start is counted, durably: what is said to others
    /// must not be said again by a process that does not know of it.
    pub(crate) async fn open(
        disk: Arc<dyn Disk>,
        (identity, boot): (Identity, u64),
        promised: Arc<AtomicU64>,
        beginning: Beginning,
        planted: Planted,
    ) -> Result<Self, GateError> {
        let before = generation(&*disk)?;
        let quarantine = quarantine(&*disk)?;
        let starts = read_known(&*disk)?;
        let stored = starts.iter().map(|(node, start)| (*node, start.boot)).collect();
        let generation = if quarantine.is_some() { before } else { before + 1 };
        if quarantine.is_none() {
            let mut batch = Batch::default();
            batch.put(GENERATION, generation.to_be_bytes()).map_err(too_large)?;
            storage::commit(&*disk, batch).await?;
        }
        let writes = disk.writes().at_opening;
        promised.fetch_max(writes, Ordering::AcqRel);
        let standing = match quarantine {
            _ if planted.has(Bug::OpenGate) => Standing::Admitted,
            Some(reason) => Standing::Quarantined(reason.into()),
            None if !beginning.was_member || beginning.is_alone => Standing::Admitted,
            None => Standing::Waiting,
        };
        Ok(Self {
            node: identity.owner,
            own: Incarnation { store: identity.store, generation, boot, writes },
            promised,
            disk,
            known: Mutex::new(Known { starts, stored, ..Known::default() }),
            turn: tokio::sync::Mutex::default(),
            standing: watch::Sender::new(standing),
            failed: watch::Sender::new(None),
            was_member: beginning.was_member,
            wake: Notify::new(),
            planted,
        })
    }

    /// This start, with the writes that were there when it began.
    pub(crate) fn own(&self) -> Incarnation {
        self.own
    }

    /// What a reply says of this process.
    pub(crate) fn durable(&self) -> peer::Durable {
        peer::Durable { boot: self.own.boot, writes: self.promised.load(Ordering::Acquire) }
    }

    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub(crate) fn is_admitted(&self) -> bool {
        *self.standing.borrow() == Standing::Admitted
    }

    pub(crate) fn is_quarantined(&self) -> bool {
        matches!(&*self.standing.borrow(), Standing::Quarantined(_))
    }

    /// Why this node is quarantined, where it is.
    pub(crate) fn quarantined_because(&self) -> Option<Arc<str>> {
        match &*self.standing.borrow() {
            Standing::Quarantined(reason) => Some(Arc::clone(reason)),
            Standing::Waiting | Standing::Admitted => None,
        }
    }

    /// The node takes part from now on, unless something was found meanwhile.
    pub(crate) fn admit(&self) {
        let admitted = self.standing.send_if_modified(|standing| {
            let is_new = *standing == Standing::Waiting;
            if is_new {
                *standing = Standing::Admitted;
            }
            is_new
        });
        if admitted {
            tracing::info!(generation = self.own.generation, "the other members know this start: the node takes part");
        }
    }

    /// The node takes no part any more, now and after every later start.
    pub(crate) async fn quarantine(&self, objection: &Objection, found_by: u64) {
        if self.is_quarantined() || self.planted.has(Bug::OpenGate) {
            return;
        }
        let reason = format!("{objection} (found by node {found_by})");
        tracing::error!(node = self.node, reason, "this node is quarantined: it takes no part any more");
        self.standing.send_replace(Standing::Quarantined(reason.as_str().into()));
        let mut batch = Batch::default();
        let record = log::Quarantine { reason }.encode_to_vec();
        let stored = match batch.put(QUARANTINE, record).map_err(too_large) {
            Ok(()) => self.commit(batch).await,
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            tracing::error!(%error, "that the node is quarantined could not be stored");
        }
    }

    async fn commit(&self, batch: Batch) -> Result<(), WriteFailed> {
        storage::commit(&*self.disk, batch).await.inspect_err(|failure| {
            self.failed.send_replace(Some(failure.clone()));
        })
    }

    /// The disk did not take what is no batch of the store: the node fails as with any other write.
    pub(crate) fn disk_failed(&self, error: &impl fmt::Display) {
        self.failed.send_replace(Some(WriteFailed::new(io::Error::other(error.to_string()))));
    }

    /// The same for a snapshot of the node's own.
    pub(crate) fn snapshot_failed(&self, error: &io::Error) {
        self.failed.send_replace(Some(WriteFailed::new(io::Error::new(error.kind(), error.to_string()))));
    }

    /// Why the disk took no write, where it did not.
    pub(crate) fn failure(&self) -> watch::Receiver<Option<WriteFailed>> {
        self.failed.subscribe()
    }

    /// Whether the process `boot` of `node`, a member with this store, may call here, and this node take part in what it
    /// asks.
    pub(crate) fn check(&self, node: u64, store: Option<Uuid>, boot: Option<u64>) -> Result<(), Status> {
        match &*self.standing.borrow() {
            Standing::Admitted => {}
            Standing::Waiting => {
                let why = format!("node {} has started, and waits for the other members to recognise it", self.node);
                return Err(Status::unavailable(why));
            }
            Standing::Quarantined(reason) => {
                return Err(Status::failed_precondition(format!("node {} is quarantined: {reason}", self.node)));
            }
        }
        let known = store.and_then(|store| self.known_of(node, store)).map(|start| start.boot);
        match (known, boot) {
            (Some(known), Some(boot)) if known != boot && !self.planted.has(Bug::OpenGate) => {
                Err(Status::aborted(format!("node {} does not know this process of node {node}: say Hello", self.node)))
            }
            _ => Ok(()),
        }
    }

    /// The newest start that is known of `node`.
    pub(crate) fn known_of(&self, node: u64, store: Uuid) -> Option<Incarnation> {
        self.known().starts.get(&node).copied().filter(|start| start.store == store)
    }

    /// All that is known of other members, for one of them; of this node as it reports itself.
    pub(crate) fn all_known(&self) -> Vec<peer::Known> {
        let known = self.known();
        let message = |(node, start): (&u64, &Incarnation)| peer::Known {
            node: *node,
            incarnation: Some(incarnation_out(start)),
        };
        let own = Incarnation { writes: self.promised.load(Ordering::Acquire), ..self.own };
        known.starts.iter().filter(|(node, _)| **node != self.node).chain([(&self.node, &own)]).map(message).collect()
    }

    /// Judges a member's start as that member reports it. Where nothing speaks against it, it is durable on return.
    pub(crate) async fn meet(&self, node: u64, found: Incarnation) -> Result<Result<(), Objection>, WriteFailed> {
        let _turn = self.turn.lock().await;
        let known = self.known_of(node, found.store);
        if self.planted.has(Bug::OpenGate) {
            return Ok(Ok(()));
        }
        if let Err(objection) = judge(known.as_ref(), &found) {
            return Ok(Err(objection));
        }
        if known.is_some() && self.known().stored.get(&node) == Some(&found.boot) {
            return Ok(Ok(()));
        }
        let start = learned(known.as_ref(), &found).unwrap_or(found);
        let mut batch = Batch::default();
        batch.put(known_key(node), incarnation_out(&start).encode_to_vec()).map_err(too_large)?;
        self.commit(batch).await?;
        let mut known = self.known();
        let start = learned(known.starts.get(&node), &start).unwrap_or(start);
        known.starts.insert(node, start);
        known.stored.insert(node, start.boot);
        Ok(Ok(()))
    }

    /// Takes in what a third node says of a member, or a member of its own writes.
    pub(crate) fn hear(&self, node: u64, heard: &Incarnation) {
        let mut known = self.known();
        if let Some(start) = learned(known.starts.get(&node), heard) {
            known.starts.insert(node, start);
            known.unstored.insert(node);
        }
    }

    /// Takes in what the reply of a member says of it. An error where the process that replied has not said Hello: what it
    /// replied does not count.
    pub(crate) fn hear_reply(&self, node: u64, store: Uuid, durable: Option<peer::Durable>) -> Result<(), String> {
        let (Some(peer::Durable { boot, writes }), Some(known)) = (durable, self.known_of(node, store)) else {
            return Ok(());
        };
        if known.boot != boot && !self.planted.has(Bug::OpenGate) {
            self.is_unknown_to(node);
            return Err(format!("the process that replies as node {node} has not said Hello"));
        }
        if writes > known.writes {
            self.hear(node, &Incarnation { writes, ..known });
        }
        Ok(())
    }

    /// Stores what was heard since the last time, to become durable with the next write of the log.
    pub(crate) async fn store_heard(&self) {
        let starts: Vec<_> = {
            let mut known = self.known();
            let unstored = std::mem::take(&mut known.unstored);
            unstored.into_iter().filter_map(|node| Some((node, *known.starts.get(&node)?))).collect()
        };
        if starts.is_empty() {
            return;
        }
        let mut batch = Batch::default();
        for (node, start) in starts {
            if let Err(error) = batch.put(known_key(node), incarnation_out(&start).encode_to_vec()) {
                tracing::error!(%error, node, "what is known of a member could not be stored");
            }
        }
        self.disk.submit(batch, None).await;
    }

    /// Whether `node` knows this process.
    pub(crate) fn is_known_to(&self, node: u64, store: Uuid) -> bool {
        self.known().agreed.get(&node) == Some(&store)
    }

    /// `node` knows this process.
    pub(crate) fn agreed(&self, node: u64, store: Uuid) {
        self.known().agreed.insert(node, store);
    }

    /// `node` may not know this process, or this process not that of `node`: they are to say Hello, now.
    pub(crate) fn is_unknown_to(&self, node: u64) {
        self.known().agreed.remove(&node);
        self.wake.notify_one();
    }

    /// A call was answered with this status: a member that does not know this process is told.
    pub(crate) fn was_refused(&self, node: u64, status: &Status) {
        if status.code() == tonic::Code::Aborted {
            self.is_unknown_to(node);
        }
    }

    /// A member acknowledged every entry up to `last` to this leader.
    pub(crate) fn acknowledged(&self, node: u64, store: Uuid, vote: Vote, last: LogId) {
        let mut known = self.known();
        match known.acknowledged.get_mut(&node) {
            Some((same, since, highest)) if *same == store && *since == vote => *highest = (*highest).max(last),
            _ => drop(known.acknowledged.insert(node, (store, vote, last))),
        }
    }

    /// The last entry that a member acknowledged to the leader of `vote`.
    pub(crate) fn acknowledged_by(&self, node: u64, store: Uuid, vote: &Vote) -> Option<LogId> {
        let known = self.known();
        let (same, since, last) = known.acknowledged.get(&node)?;
        (*same == store && since == vote).then_some(*last)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Changed by single insertions: it is whole after a panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_large(error: storage::ValueTooLarge) -> WriteFailed {
    WriteFailed::new(io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn damaged(place: impl ToString, what: impl ToString) -> LogDamaged {
    LogDamaged::Content { place: place.to_string(), what: what.to_string() }
}

fn generation(disk: &dyn Disk) -> Result<u64, LogDamaged> {
    let Some(value) = disk.get(GENERATION)? else { return Ok(0) };
    Ok(u64::from_be_bytes(value.try_into().map_err(|_| damaged("mark g", "it is not 8 bytes"))?))
}

fn quarantine(disk: &dyn Disk) -> Result<Option<String>, LogDamaged> {
    let Some(value) = disk.get(QUARANTINE)? else { return Ok(None) };
    let record = log::Quarantine::decode(value.as_slice()).map_err(|error| damaged("mark q", error))?;
    Ok(Some(record.reason))
}

fn read_known(disk: &dyn Disk) -> Result<BTreeMap<u64, Incarnation>, LogDamaged> {
    let mut starts = BTreeMap::new();
    for record in disk.scan(&[KNOWN]) {
        let (key, value) = record?;
        let place = || format!("record {key:02x?}");
        let node = key.get(1..).and_then(|node| Some(u64::from_be_bytes(node.try_into().ok()?)));
        let node = node.ok_or_else(|| damaged(place(), "it names no node"))?;
        let message = log::Incarnation::decode(value.as_slice()).map_err(|error| damaged(place(), error))?;
        let start = incarnation_in(Some(message)).map_err(|Malformed(what)| damaged(place(), what))?;
        starts.insert(node, start);
    }
    Ok(starts)
}

/// Takes a quarantine away, and what was known of members: for a cluster that is begun anew from what the disk holds.
pub(crate) fn cleared(disk: &dyn Disk) -> Result<Batch, LogDamaged> {
    let mut batch = Batch::default();
    batch.remove(QUARANTINE);
    for node in read_known(disk)?.into_keys() {
        batch.remove(known_key(node));
    }
    Ok(batch)
}
