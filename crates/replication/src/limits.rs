//! Every bound of this crate, with its unit last in the name.

use std::time::Duration;

/// Requests that may wait for the leader's next batch before callers are made to wait.
pub const BATCH_QUEUE_REQUESTS_MAX: usize = 8192;

/// Batches that may be on their way through the log at once: the next one gathers while the last becomes durable.
pub const BATCHES_IN_FLIGHT_MAX: usize = 2;

/// Requests that may wait to be forwarded to the leader.
pub const FORWARD_QUEUE_REQUESTS_MAX: usize = 8192;

/// Requests in one message to the leader.
pub const FORWARD_REQUESTS_MAX: usize = 1024;

/// Messages of one node that the leader works on at once.
pub const FORWARDS_IN_FLIGHT_MAX: usize = 8;

/// How long a node tries to get an answer out of a leader, whoever that is, before it says that it cannot.
pub const SUBMIT_DEADLINE: Duration = Duration::from_secs(2);

/// The same for an administrator's command, who would rather wait than not know.
pub const PROPOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Pause before asking again where nothing said that the leader has changed.
pub const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How often a node that forms a cluster names those that do not answer.
pub const SILENT_MEMBER_INTERVAL: Duration = Duration::from_secs(3);

/// Entries in one append message; with [`PEER_MESSAGE_BYTES_MAX`] in proportion.
pub const APPEND_ENTRIES_MAX: u64 = 64;

/// Largest message between nodes, in bytes.
pub const PEER_MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Part of a snapshot in one message, in bytes.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// Parts of a snapshot that wait until the connection takes them.
pub const SNAPSHOT_CHUNKS_IN_FLIGHT_MAX: usize = 2;

/// How long a peer may take until it holds the next part of a snapshot, or says that it is still installing it.
pub const SNAPSHOT_PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a node says that it is still installing a snapshot.
pub const SNAPSHOT_INSTALLING_INTERVAL: Duration = Duration::from_secs(1);

/// How long a peer of a version that takes a snapshot in one go has for all of it.
pub const SNAPSHOT_WHOLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest snapshot taken from another node, in bytes: every state that a node may hold has one that the others take.
pub const SNAPSHOT_BYTES_MAX: u64 = activation::limits::STATE_BYTES_MAX;

/// Entries after which a snapshot is made, and entries kept behind it for followers that lag.
pub const SNAPSHOT_EVERY_ENTRIES: u64 = 5000;

/// How often the leader asks for the voters' clocks. Three rounds may be lost before a sample is too old.
pub const CLOCK_SAMPLE_INTERVAL: Duration = Duration::from_secs(15);

/// Most nodes of a cluster: a publisher's key serves as many hosts.
pub const NODES_MAX: usize = 6;

/// How often the leader looks whether the other nodes are there.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A learner that did not answer for this long is promoted by nobody, nor
pub const PRESENT_WITHIN: Duration = Duration::from_secs(3);
/// one that is more entries behind.
pub use activation::limits::LAG_ENTRIES_MAX;

/// How long an administrator's change of the membership may take: a new node catches up within it.
pub const MEMBERSHIP_DEADLINE: Duration = Duration::from_secs(120);

/// How long a leader waits at a time until a new member has caught up. The command that added it asks again.
pub const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a leader waits until one change of the membership is written. It is asked for again where it was not.
pub const MEMBERSHIP_STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a node that stops waits for the others to take note.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);

/// A leader that no majority confirmed for this long may have been replaced: the node is not ready.
pub const CONFIRMED_WITHIN: Duration = Duration::from_secs(3);

/// A member that lacks an entry for longer than this lags, however few it lacks: its disk or the network to it stands still.
pub const LAG_MAX: Duration = Duration::from_secs(10);

/// Round trips to a member of which the median counts,
pub const ROUND_TRIPS_KEPT: usize = 11;
/// and how many there must be.
pub const ROUND_TRIPS_MIN: usize = 2;

/// How long a leader's call to its successor may take: links that are too slow for appends are among the reasons for it.
pub const TRANSFER_CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// A leader whose disk has not finished a write for so long hands leadership over,
pub const DISK_HANDOVER_AFTER: Duration = Duration::from_secs(5);
/// and any node whose disk has not for so long fails: its process ends, and the supervisor starts it again.
pub const DISK_HANG_MAX: Duration = Duration::from_secs(10);
/// How often that is looked at.
pub const DISK_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a node that is to take another election profile waits for those that go before it,
pub const PROFILE_ORDER_MAX: Duration = Duration::from_secs(10);
/// for how long it lets each member with a lower number go first,
pub const PROFILE_STAGGER: Duration = Duration::from_millis(500);
/// and how often it looks whether it is its turn.
pub const PROFILE_LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Pause before a confirmation that failed is tried again.
pub const CONFIRMATION_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A clock sample that takes longer says nothing.
pub const CLOCK_SAMPLE_TIMEOUT: Duration = Duration::from_millis(500);

/// Pause before a leader that has stamped nothing yet, because it has not heard a majority's clocks, asks again.
pub const CLOCK_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The replicated clocks are brought along by an empty batch when they are so far behind: without requests nothing else does.
pub const IDLE_STAMP_MS: u64 = 60 * 60 * 1000;

/// Pause between two lines of the log about the same alarm.
pub const WARNING_PAUSE: Duration = Duration::from_secs(60);

/// Reasons of refused calls that are told apart in the log within [`WARNING_PAUSE`].
pub const WARNING_REASONS_MAX: usize = 32;

/// How long a leader waits until a majority of the voters has one state hash,
pub const HASH_DEADLINE: Duration = Duration::from_secs(30);
/// and pause before it asks them again.
pub const HASH_PAUSE: Duration = Duration::from_millis(500);

/// How long an administrator's command may take that has a node take over the majority's state: it is sent within it.
pub const REJOIN_DEADLINE: Duration = Duration::from_secs(600);

/// How long a node waits until it has applied that a majority confirmed the state that was sent to it.
pub const CONFIRMED_STATE_WAIT: Duration = Duration::from_secs(5);

/// A node whose clock is further off the median does not lead: clients that go by it would be refused.
pub const CLOCK_OFFSET_MS_MAX: u64 = activation::limits::CLOCK_SKEW_MS_MAX;

/// A call to one peer during bootstrap, or one that asks it something.
pub const PEER_CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a member has to answer Hello: it may look first who answers at the caller's address,
pub const HELLO_TIMEOUT: Duration = Duration::from_millis(800);
/// and waits so long for that.
pub const ADDRESS_PROBE_TIMEOUT: Duration = Duration::from_millis(400);

/// Pause between two rounds of Hello of a node that is not admitted yet, or that was refused.
pub const HELLO_PAUSE: Duration = Duration::from_millis(50);

/// A node that has waited longer to be admitted asks as seldom as one that is.
pub const URGENT_FOR: Duration = Duration::from_secs(10);

/// A node that only half of the voters recognised waits this long for another member that objects.
pub const WITNESS_WAIT: Duration = Duration::from_secs(1);

/// How often a quarantined node says so in its log.
pub const QUARANTINE_REMINDER_INTERVAL: Duration = Duration::from_secs(60);

/// How long a leader that stops waits for another one.
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
