//! Reads on this node: the applied state, the log, and the cluster as this node observes it.

use std::{collections::BTreeMap, time::Duration};

use activation::{
    clock::ClockAlarm,
    settings::ElectionProfile,
    state::{Format, State},
};
use bytes::Bytes;
use futures::{Stream, stream};
use openraft::async_runtime::WatchReceiver;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    backup,
    leader::{
        format,
        membership::{self, Follower},
    },
    limits::SUBMIT_DEADLINE,
    planted::Bug,
    raft::{
        state_machine::Progress,
        types::{Command, EntryPayload, Member},
    },
    replica::{
        Replica,
        running::{ReadPoint, Unavailable},
    },
};

/// The cluster as this node observes it.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// Number of this node.
    pub node: u64,
    /// Number of the leader, if a majority confirmed it within
    /// [`CONFIRMED_WITHIN`](crate::limits::CONFIRMED_WITHIN); else `None`.
    pub leader: Option<u64>,
    /// The current term.
    pub term: u64,
    /// Numbers of the voters.
    pub voters: Vec<u64>,
    /// All members, voters and learners, by number.
    pub members: BTreeMap<u64, Member>,
    /// Index of the last entry in this node's log.
    pub last_index: u64,
    /// Index of the last entry known to be committed when a majority last confirmed the leader. This node may not
    /// have it yet.
    pub confirmed_index: u64,
}

impl Replica {
    /// The whole current state, as the content of a file that [`crate::Backup`] reads. Any node that serves can
    /// produce it.
    pub async fn backup(&self) -> Result<Bytes, Unavailable> {
        self.read_point().await?;
        // Both fail only if the node stops.
        let (meta, state) = self.0.state_machine.snapshot().await.map_err(|_| Unavailable::NoLeader)?;
        let file = self.0.computations.run(move || backup::encode(&meta, &state)).await;
        file.map_err(|_| Unavailable::NoLeader)
    }

    /// The newest format that this node reads.
    pub fn newest_format(&self) -> Format {
        self.0.newest_format
    }

    /// The oldest format that a version must read to start from this node's disk.
    pub fn stored_format(&self) -> Format {
        format::stored(&self.0)
    }

    /// Waits until all that was committed before this call is applied on this node (ReadIndex), and returns the
    /// read point.
    pub async fn read_point(&self) -> Result<ReadPoint, Unavailable> {
        let point = self.retrying(SUBMIT_DEADLINE, || self.0.read_point_once()).await?;
        self.wait_applied(point.log_index).await?;
        Ok(point)
    }

    /// Waits until all that was committed before this call is applied on this node, as [`Self::read_point`] does.
    /// Concurrent callers share one confirmation by a majority.
    ///
    /// Errors: no leader answered within the deadline, or this node may not answer.
    pub async fn shared_read_point(&self) -> Result<(), Unavailable> {
        self.0.shared_reads.serve(async { self.read_point().await.map(|_| ()) }).await
    }

    /// Waits until the entry at `index` is applied on this node, at most [`SUBMIT_DEADLINE`].
    pub async fn wait_applied(&self, index: u64) -> Result<(), Unavailable> {
        let mut progress = self.progress();
        let applied = progress.wait_for(|progress| progress.applied_index >= index);
        match timeout_at(Instant::now() + SUBMIT_DEADLINE, applied).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Unavailable::NoLeader),
        }
    }

    /// Reads the state as applied on this node, which may lag behind the leader's.
    pub fn view<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.0.state_machine.view(look)
    }

    /// Reads the state as applied on this node, together with the index of the last entry applied.
    pub fn view_at<T>(&self, look: impl FnOnce(u64, &State) -> T) -> T {
        self.0.state_machine.view_at(look)
    }

    /// Follows how far this node has applied the log.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.0.state_machine.progress()
    }

    /// The hash of this node's state, and the index of the last entry applied.
    pub fn state_hash(&self) -> (u64, [u8; 32]) {
        self.0.state_machine.hash()
    }

    /// The command at `index`; `None` if the entry is purged or holds no command.
    pub fn command_at(&self, index: u64) -> Option<Bytes> {
        match self.0.log.entry(index)?.payload {
            EntryPayload::Normal(Command(bytes)) => Some(bytes),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        }
    }

    /// The cluster as this node observes it. A leader that no majority confirmed recently is not reported, because
    /// another node may lead already. A leader that has had no reply from a majority for twice the longest election
    /// timeout does not report itself as leader even before that.
    pub fn cluster(&self) -> ClusterView {
        let applied = self.0.state_machine.membership();
        let metrics = self.0.raft().metrics();
        let metrics = metrics.borrow_watched();
        // The metrics are updated slightly later: a caller that waited for an entry to be applied must see its
        // effect.
        let is_newer = applied.log_id() > metrics.membership_config.log_id();
        let membership = if is_newer { applied.membership() } else { metrics.membership_config.membership() };
        let node = self.0.identity.owner;
        let lease = Duration::from_millis(self.0.raft().config().election_timeout_max.saturating_mul(2));
        let is_alone = membership.voter_ids().count() <= 1;
        let leads =
            || is_alone || metrics.last_quorum_acked.is_some_and(|acked| openraft::Instant::elapsed(&*acked) < lease);
        ClusterView {
            node,
            leader: metrics.current_leader.filter(|leader| self.is_confirmed() && (*leader != node || leads())),
            term: metrics.current_term,
            voters: membership.voter_ids().collect(),
            members: membership.nodes().map(|(&node, member)| (node, member.clone())).collect(),
            last_index: metrics.last_log_index.unwrap_or(0),
            confirmed_index: self.0.confirmation.log_index(),
        }
    }

    /// Whether a majority confirmed the leader within [`CONFIRMED_WITHIN`](crate::limits::CONFIRMED_WITHIN).
    /// Without that this node may report a leader that was replaced long ago.
    pub fn is_confirmed(&self) -> bool {
        self.0.confirmation.is_fresh() || self.0.planted.has(Bug::UnconfirmedReady)
    }

    /// On the leader: the clock alarm for the administrator, if any, and how far cluster time is ahead of the
    /// voters' median, in milliseconds, if known. On other nodes: `None` for both.
    pub fn clock(&self) -> (Option<ClockAlarm>, Option<u64>) {
        (self.0.clock.alarm(), self.0.clock.ahead_ms())
    }

    /// The other members, by number; empty if this node does not lead.
    pub fn followers(&self) -> BTreeMap<u64, Follower> {
        membership::followers(&self.0)
    }

    /// The leader from now on: one item for each leader that this node learns of.
    pub fn leaders(&self) -> impl Stream<Item = u64> + Send + Unpin + use<> {
        let metrics = self.0.consensus.server_metrics();
        Box::pin(stream::unfold((metrics, None), async |(mut metrics, before)| {
            loop {
                let now = metrics.borrow_watched().current_leader;
                if now.is_some() && now != before {
                    return now.map(|leader| (leader, (metrics, now)));
                }
                metrics.changed().await.ok()?;
            }
        }))
    }

    /// Number of the store's pages that were never made durable. If it is not 0, the node must be replaced.
    pub fn unsynced_pages(&self) -> usize {
        self.0.disk.unsynced_pages()
    }

    /// Index of the last entry in the newest snapshot; 0 before the first snapshot.
    pub fn snapshot_index(&self) -> u64 {
        self.0.raft().metrics().borrow_watched().snapshot.map_or(0, |id| id.index)
    }

    /// The median of the last round trips to each other member, for members with enough of them.
    pub fn round_trips(&self) -> BTreeMap<u64, Duration> {
        self.0.round_trips.medians()
    }

    /// The election profile in force on this node.
    pub fn election_profile(&self) -> ElectionProfile {
        self.0.consensus.profile()
    }

    /// The longest round trip between two nodes that this node's settings tolerate.
    pub fn round_trip_max(&self) -> Duration {
        self.0.consensus.round_trip_max()
    }

    /// This node's wall clock, in milliseconds since the Unix epoch.
    pub fn wall_ms(&self) -> u64 {
        self.0.clock.wall_ms()
    }

    /// Size of the store on disk, in bytes; `None` if the disk does not report it.
    pub fn store_bytes(&self) -> Option<u64> {
        self.0.disk.bytes_on_disk().ok()
    }
}
