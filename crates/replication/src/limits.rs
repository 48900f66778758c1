//! Every limit of this crate; each name ends in its unit.

use std::time::Duration;

/// Largest number of requests in the queue for the leader's next batch. A caller that finds the queue full waits.
pub const BATCH_QUEUE_REQUESTS_MAX: usize = 8192;

/// Largest number of batches that are written to the log at once: the leader fills the next batch while the last
/// one becomes durable.
pub const BATCHES_IN_FLIGHT_MAX: usize = 2;

/// Largest number of requests in the queue of one node for the leader.
pub const FORWARD_QUEUE_REQUESTS_MAX: usize = 8192;

/// Largest number of requests in one message to the leader.
pub const FORWARD_REQUESTS_MAX: usize = 1024;

/// Largest number of messages from one node that the leader processes at once.
pub const FORWARDS_IN_FLIGHT_MAX: usize = 8;

/// How long a node retries a request at the leader, also across a change of leader, before the request fails.
pub const SUBMIT_DEADLINE: Duration = Duration::from_secs(2);

/// How long a node retries an administrator's command at the leader. Longer than [`SUBMIT_DEADLINE`]: an
/// administrator prefers a late answer to an unknown outcome.
pub const PROPOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Pause before a retry when no change of leader was observed.
pub const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How often a node that forms a cluster logs which members do not answer.
pub const SILENT_MEMBER_INTERVAL: Duration = Duration::from_secs(3);

/// Largest number of entries in one append message. It is in proportion to [`PEER_MESSAGE_BYTES_MAX`] (checked at
/// compile time).
pub const APPEND_ENTRIES_MAX: u64 = 64;

/// Largest message between nodes, in bytes.
pub const PEER_MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Size of one part of a snapshot, in bytes; each part is one message.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// Largest number of snapshot parts that wait for the connection.
pub const SNAPSHOT_CHUNKS_IN_FLIGHT_MAX: usize = 2;

/// How long a peer may take to acknowledge the next part of a snapshot, or to report that it is still installing
/// it.
pub const SNAPSHOT_PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a node reports to the sender that it is still installing a snapshot.
pub const SNAPSHOT_INSTALLING_INTERVAL: Duration = Duration::from_secs(1);

/// How long a peer has to receive a whole snapshot when its version does not support snapshots in parts.
pub const SNAPSHOT_WHOLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest snapshot accepted from another node, in bytes. It equals the largest state of a node, so every snapshot
/// of a valid state is accepted.
pub const SNAPSHOT_BYTES_MAX: u64 = activation::limits::STATE_BYTES_MAX;

/// Number of entries after which a snapshot is made, and number of entries kept before it for followers that lag.
pub const SNAPSHOT_EVERY_ENTRIES: u64 = 5000;

/// How often the leader samples the voters' clocks. Three rounds may be lost before a sample is too old.
pub const CLOCK_SAMPLE_INTERVAL: Duration = Duration::from_secs(15);

/// Largest number of nodes in a cluster: a publisher's host key grants that many activation slots.
pub const NODES_MAX: usize = 6;

/// How often the leader checks whether the other nodes answer.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A member counts as answering if it answered within this time; the leader promotes only such a learner.
pub const PRESENT_WITHIN: Duration = Duration::from_secs(3);
/// Largest replication lag, in entries, at which a node counts as caught up and a learner may be promoted.
pub use activation::limits::LAG_ENTRIES_MAX;

/// Timeout of an administrator's change of the membership. A new node catches up within it.
pub const MEMBERSHIP_DEADLINE: Duration = Duration::from_secs(120);

/// How long the leader waits in one attempt until a new member has caught up. The command that added the member
/// then retries.
pub const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the leader waits until one change of the membership is committed. The command retries a change that was
/// not.
pub const MEMBERSHIP_STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a node that stops waits for the other members to acknowledge its notice.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);

/// If no majority has confirmed the leader for this long, another node may have become leader: this node is then
/// not ready.
pub const CONFIRMED_WITHIN: Duration = Duration::from_secs(3);

/// A member that has lacked an entry for longer than this lags, however few entries it lacks: its disk or the
/// network to it does not work.
pub const LAG_MAX: Duration = Duration::from_secs(10);

/// Number of the last round trips to a member from which the median is taken.
pub const ROUND_TRIPS_KEPT: usize = 11;
/// Smallest number of round trips to a member from which a median is taken.
pub const ROUND_TRIPS_MIN: usize = 2;

/// Shortest timeout of a leader's call to its successor; the timeout of an append applies if it is longer. A link
/// that is too slow for appends is one reason to hand leadership over.
pub const TRANSFER_CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// A leader whose disk has not finished a write for this long hands leadership over.
pub const DISK_HANDOVER_AFTER: Duration = Duration::from_secs(5);
/// A node whose disk has not finished a write for this long fails: its process ends, and the supervisor starts it
/// again.
pub const DISK_HANG_MAX: Duration = Duration::from_secs(10);
/// How often a node checks whether its disk finishes writes.
pub const DISK_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a node that must change its election profile waits, at most, for the members that change before it.
pub const PROFILE_ORDER_MAX: Duration = Duration::from_secs(10);
/// How long a node waits for each member with a lower number to change its election profile first.
pub const PROFILE_STAGGER: Duration = Duration::from_millis(500);
/// How often a waiting node checks whether it may change its election profile.
pub const PROFILE_LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Pause before a failed confirmation of the leader is retried.
pub const CONFIRMATION_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Timeout of a clock sample; a slower reply gives no sample.
pub const CLOCK_SAMPLE_TIMEOUT: Duration = Duration::from_millis(500);

/// Pause before a new leader samples the clocks again while it has no samples from a majority and so cannot stamp a
/// batch.
pub const CLOCK_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// When the replicated clocks lag real time by this much, the leader writes an empty batch that advances them.
/// Without requests nothing else advances them.
pub const IDLE_STAMP_MS: u64 = 60 * 60 * 1000;

/// Pause between two log lines about the same alarm.
pub const WARNING_PAUSE: Duration = Duration::from_secs(60);

/// Largest number of reasons for refused calls that are logged separately within [`WARNING_PAUSE`].
pub const WARNING_REASONS_MAX: usize = 32;

/// How long a leader waits until a majority of the voters reports the same state hash.
pub const HASH_DEADLINE: Duration = Duration::from_secs(30);
/// Pause before the leader collects the voters' state hashes again.
pub const HASH_PAUSE: Duration = Duration::from_millis(500);

/// Timeout of an administrator's command that makes a node take over the majority's state. The state is sent within
/// it.
pub const REJOIN_DEADLINE: Duration = Duration::from_secs(600);

/// How long a node waits until it has applied the entry in which a majority confirms the state that was sent to it.
pub const CONFIRMED_STATE_WAIT: Duration = Duration::from_secs(5);

/// A node whose clock differs from the median by more than this must not lead: client machines that use its time
/// would be refused.
pub const CLOCK_OFFSET_MS_MAX: u64 = activation::limits::CLOCK_SKEW_MS_MAX;

/// Timeout of a call to one peer, during bootstrap and for queries.
pub const PEER_CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a member has to answer Hello. It includes [`ADDRESS_PROBE_TIMEOUT`]: the member may first check which
/// process answers at the caller's address.
pub const HELLO_TIMEOUT: Duration = Duration::from_millis(800);
/// Timeout of the check which process answers at a caller's address.
pub const ADDRESS_PROBE_TIMEOUT: Duration = Duration::from_millis(400);

/// Pause between two rounds of Hello while the node is not yet admitted, or was refused.
pub const HELLO_PAUSE: Duration = Duration::from_millis(50);

/// A node that has waited longer than this to be admitted sends Hello only as often as an admitted node does.
pub const URGENT_FOR: Duration = Duration::from_secs(10);

/// If only half of the voters have recognised a node, it waits this long for an objection from another member.
pub const WITNESS_WAIT: Duration = Duration::from_secs(1);

/// How often a quarantined node logs that it is quarantined.
pub const QUARANTINE_REMINDER_INTERVAL: Duration = Duration::from_secs(60);

/// How long a leader that stops waits for another node to become leader.
pub const HANDOVER_DEADLINE: Duration = Duration::from_secs(2);

const _: () = assert!(DISK_HANDOVER_AFTER.as_secs() + HANDOVER_DEADLINE.as_secs() < DISK_HANG_MAX.as_secs());
const _: () = assert!(
    APPEND_ENTRIES_MAX * (storage::limits::VALUE_BYTES_MAX as u64) < PEER_MESSAGE_BYTES_MAX as u64
        && SNAPSHOT_CHUNK_BYTES + 1024 <= PEER_MESSAGE_BYTES_MAX
        && SNAPSHOT_CHUNK_BYTES as u64 <= SNAPSHOT_BYTES_MAX
        && SNAPSHOT_INSTALLING_INTERVAL.as_millis() * 4 <= SNAPSHOT_PROGRESS_TIMEOUT.as_millis()
        && SNAPSHOT_BYTES_MAX <= usize::MAX as u64
        && activation::limits::COMMAND_BYTES_MAX + 1024 <= storage::limits::VALUE_BYTES_MAX
);
