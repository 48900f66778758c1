//! The state of the start gate: the recorded starts of each member, and whether this node may take part.
//!
//! ```text
//! g                         how many times a node has opened this store
//! k<node, 8 bytes>          the newest recorded start of a member
//! q                         this node is quarantined, with the reason
//! ```
//! These records are in the store, beside those of the log. A member's start is durable here before this node
//! agrees to it. The number of writes that the member reports later becomes durable with the next write of the log.

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
    /// The node asks the other members to admit it.
    Waiting,
    /// The node takes part.
    Admitted,
    /// The node takes no part any more, for this reason.
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
    /// This start of the node.
    own: Incarnation,
    /// Number of this node's writes that were durable when it last made a promise to other nodes.
    promised: Arc<AtomicU64>,
    disk: Arc<dyn Disk>,
    known: Mutex<Known>,
    /// Held while a member's start is judged and stored: if two processes of one node ask, only one is agreed to.
    turn: tokio::sync::Mutex<()>,
    standing: watch::Sender<Standing>,
    /// The first failed write, if any. openraft does not observe the gate's writes, so the node must stop by
    /// itself.
    failed: watch::Sender<Option<WriteFailed>>,
    /// Whether the disk held a membership with this node at its start.
    pub(crate) was_member: bool,
    /// Wakes the task that sends Hello.
    pub(crate) wake: Notify,
    planted: Planted,
}

#[derive(Default)]
struct Known {
    starts: BTreeMap<u64, Incarnation>,
    /// Members whose recorded start is newer in memory than on the disk.
    unstored: BTreeSet<u64>,
    /// For each member, the process (boot number) in the record on the disk.
    stored: BTreeMap<u64, u64>,
    /// Members that have recognised this process, with the store of each.
    agreed: BTreeMap<u64, Uuid>,
    /// For each member with its store: the last entry that it acknowledged to this leader.
    acknowledged: BTreeMap<u64, (Uuid, Vote, LogId)>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("own", &self.own).field("standing", &*self.standing.borrow()).finish()
    }
}

/// What the disk of a cluster member held at its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    /// Whether the disk holds a membership with this node.
    pub(crate) was_member: bool,
    /// Whether this node is the only member.
    pub(crate) is_alone: bool,
}

impl Gate {
    /// Reads the gate's records from the disk. Unless the node is quarantined, this start is counted durably before
    /// it returns: a later process must not make the same promises without a record of this one.
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

    /// This start, with the number of writes at its beginning.
    pub(crate) fn own(&self) -> Incarnation {
        self.own
    }

    /// This process and its durable writes, for a reply to another node.
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

    /// Why this node is quarantined; `None` if it is not.
    pub(crate) fn quarantined_because(&self) -> Option<Arc<str>> {
        match &*self.standing.borrow() {
            Standing::Quarantined(reason) => Some(Arc::clone(reason)),
            Standing::Waiting | Standing::Admitted => None,
        }
    }

    /// Admits the node, unless it was quarantined in the meantime.
    pub(crate) fn admit(&self) {
        let admitted = self.standing.send_if_modified(|standing| {
            let is_new = *standing == Standing::Waiting;
            if is_new {
                *standing = Standing::Admitted;
            }
            is_new
        });
        if admitted {
            tracing::info!(
                generation = self.own.generation,
                "the other members have recorded this start: the node is admitted"
            );
        }
    }

    /// Quarantines the node, for this run and every later start.
    pub(crate) async fn quarantine(&self, objection: &Objection, found_by: u64) {
        if self.is_quarantined() || self.planted.has(Bug::OpenGate) {
            return;
        }
        let reason = format!("{objection} (found by node {found_by})");
        tracing::error!(node = self.node, reason, "this node is quarantined: it no longer takes part in the cluster");
        self.standing.send_replace(Standing::Quarantined(reason.as_str().into()));
        let mut batch = Batch::default();
        let record = log::Quarantine { reason }.encode_to_vec();
        let stored = match batch.put(QUARANTINE, record).map_err(too_large) {
            Ok(()) => self.commit(batch).await,
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            tracing::error!(%error, "the quarantine of this node could not be stored");
        }
    }

    async fn commit(&self, batch: Batch) -> Result<(), WriteFailed> {
        storage::commit(&*self.disk, batch).await.inspect_err(|failure| {
            self.failed.send_replace(Some(failure.clone()));
        })
    }

    /// A write outside the store's batches failed: the node fails as after any other failed write.
    pub(crate) fn disk_failed(&self, error: &impl fmt::Display) {
        self.failed.send_replace(Some(WriteFailed::new(io::Error::other(error.to_string()))));
    }

    /// A write of this node's snapshot failed: the node fails as after any other failed write.
    pub(crate) fn snapshot_failed(&self, error: &io::Error) {
        self.failed.send_replace(Some(WriteFailed::new(io::Error::new(error.kind(), error.to_string()))));
    }

    /// The first failed write, once there is one.
    pub(crate) fn failure(&self) -> watch::Receiver<Option<WriteFailed>> {
        self.failed.subscribe()
    }

    /// Whether this node may serve a call from the process `boot` of `node`, a member with this store.
    ///
    /// Errors: this node is not admitted (`UNAVAILABLE`), is quarantined (`FAILED_PRECONDITION`), or has recorded
    /// another process of the caller (`ABORTED`).
    pub(crate) fn check(&self, node: u64, store: Option<Uuid>, boot: Option<u64>) -> Result<(), Status> {
        match &*self.standing.borrow() {
            Standing::Admitted => {}
            Standing::Waiting => {
                let why = format!("node {} has started, and waits until the other members recognise it", self.node);
                return Err(Status::unavailable(why));
            }
            Standing::Quarantined(reason) => {
                return Err(Status::failed_precondition(format!("node {} is quarantined: {reason}", self.node)));
            }
        }
        let known = store.and_then(|store| self.known_of(node, store)).map(|start| start.boot);
        match (known, boot) {
            (Some(known), Some(boot)) if known != boot && !self.planted.has(Bug::OpenGate) => Err(Status::aborted(
                format!("node {} has not recognised this process of node {node} yet: send Hello", self.node),
            )),
            _ => Ok(()),
        }
    }

    /// The newest recorded start of `node`.
    pub(crate) fn known_of(&self, node: u64, store: Uuid) -> Option<Incarnation> {
        self.known().starts.get(&node).copied().filter(|start| start.store == store)
    }

    /// The recorded starts of all members, for a Hello; that of this node with its current number of writes.
    pub(crate) fn all_known(&self) -> Vec<peer::Known> {
        let known = self.known();
        let message = |(node, start): (&u64, &Incarnation)| peer::Known {
            node: *node,
            incarnation: Some(incarnation_out(start)),
        };
        let own = Incarnation { writes: self.promised.load(Ordering::Acquire), ..self.own };
        known.starts.iter().filter(|(node, _)| **node != self.node).chain([(&self.node, &own)]).map(message).collect()
    }

    /// Judges the start that a member reports. If there is no objection, the record is durable on return.
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

    /// Merges what a third node reports about a member, or what a member reports about its own writes.
    pub(crate) fn hear(&self, node: u64, heard: &Incarnation) {
        let mut known = self.known();
        if let Some(start) = learned(known.starts.get(&node), heard) {
            known.starts.insert(node, start);
            known.unstored.insert(node);
        }
    }

    /// Merges what a member's reply reports about it.
    ///
    /// Errors: the process that replied has not sent Hello; its reply must be ignored.
    pub(crate) fn hear_reply(&self, node: u64, store: Uuid, durable: Option<peer::Durable>) -> Result<(), String> {
        let (Some(peer::Durable { boot, writes }), Some(known)) = (durable, self.known_of(node, store)) else {
            return Ok(());
        };
        if known.boot != boot && !self.planted.has(Bug::OpenGate) {
            self.is_unknown_to(node);
            return Err(format!("the process that replies as node {node} has not sent Hello"));
        }
        if writes > known.writes {
            self.hear(node, &Incarnation { writes, ..known });
        }
        Ok(())
    }

    /// Submits records that changed since the last call; they become durable with the next write of the log.
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
                tracing::error!(%error, node, "the record of a member's start could not be stored");
            }
        }
        self.disk.submit(batch, None).await;
    }

    /// Whether `node` has recognised this process.
    pub(crate) fn is_known_to(&self, node: u64, store: Uuid) -> bool {
        self.known().agreed.get(&node) == Some(&store)
    }

    /// Notes that `node` has recognised this process.
    pub(crate) fn agreed(&self, node: u64, store: Uuid) {
        self.known().agreed.insert(node, store);
    }

    /// `node` may not have recognised this process, or this node not the process of `node`: wakes the task that
    /// sends Hello.
    pub(crate) fn is_unknown_to(&self, node: u64) {
        self.known().agreed.remove(&node);
        self.wake.notify_one();
    }

    /// Notes the status of a failed call: `ABORTED` means that the member has not recognised this process, so the
    /// node sends Hello again.
    pub(crate) fn was_refused(&self, node: u64, status: &Status) {
        if status.code() == tonic::Code::Aborted {
            self.is_unknown_to(node);
        }
    }

    /// Notes that a member acknowledged every entry up to `last` to this leader.
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
        // Changed by single insertions: it is consistent after a panic.
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

/// Removes the quarantine and the members' recorded starts, for a new cluster that is formed from this disk.
pub(crate) fn cleared(disk: &dyn Disk) -> Result<Batch, LogDamaged> {
    let mut batch = Batch::default();
    batch.remove(QUARANTINE);
    for node in read_known(disk)?.into_keys() {
        batch.remove(known_key(node));
    }
    Ok(batch)
}
