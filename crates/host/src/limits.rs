//! Every limit of this crate that is not a setting, with its unit last in the name.

use std::{num::NonZeroUsize, time::Duration};

/// How much is read from a client's connection at once, in bytes: more than one fragment.
pub const READ_BYTES: usize = 8 << 10;

/// Longest time without a byte between two PDUs of a client, where more than half of the connections of port 1688 are taken.
pub const PRESSED_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Least limit of open files (`ulimit -n`) with which a node starts.
pub const DESCRIPTORS_MIN: u64 = 128;
/// Open files that a node needs besides the connections to its ports: for its store, its log, and its own
/// connections to other nodes and to DNS.
pub const DESCRIPTORS_OWN: usize = 64;

/// How long a process in which a task panicked may take to log the reason before it ends.
pub const LAST_LINE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long open requests may take after the node has begun to stop.
pub const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// How long a stopping node may take to hand leadership over and to stop its replica.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);
/// How long a stopping node may take to write the rest of the activation log.
pub const FLUSH_DEADLINE: Duration = Duration::from_secs(5);
/// How long a stopping node may take for the remaining cleanup: the background tasks, and the administration
/// socket's file.
pub const CLEANUP_DEADLINE: Duration = Duration::from_secs(2);

/// How long a node that forms a cluster waits for the other nodes.
pub const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a node that was to form a cluster, and finds that another node of its list has formed it, waits until it
/// belongs to that cluster.
pub const TAKEN_IN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two checks whether the node belongs to the cluster that another node formed.
pub const TAKEN_IN_PAUSE: Duration = Duration::from_millis(20);

/// CMIDs whose machines a node remembers, to find CMIDs that several machines share.
pub const DUPLICATES_KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// Machines that a node remembers for each CMID.
pub const DUPLICATES_MACHINES_MAX: usize = 8;
/// Largest number of CMIDs in a reply about shared CMIDs.
pub const DUPLICATES_SHOWN_MAX: usize = 1000;
/// How long a shared CMID is not logged again.
pub const DUPLICATES_NAMED_INTERVAL: Duration = Duration::from_secs(3600);

/// Longest TSIG key file, in bytes: such a file has a few lines.
pub const KEY_FILE_BYTES_MAX: u64 = 16 << 10;

/// How long connecting to a peer may take.
pub const PEER_CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

/// How long another node may take to report its state.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long another node may take to check its keys and sign, or for similar work.
pub const WORK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long another node may take to update its DNS records: every domain's primary has the time that `discovery`
/// gives it.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Largest request of a joining node, in bytes: it contains the node's address.
pub const JOIN_MESSAGE_BYTES_MAX: usize = 1024;

/// Largest `joining.toml` in the data folder, in bytes.
pub const JOIN_FILE_BYTES_MAX: u64 = 64 << 10;

/// Timeout of one request of a joining node; the member replies when the node has caught up.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(150);
/// Shortest pause between two requests of a joining node; it doubles with each failure ...
pub const JOIN_PAUSE_MIN: Duration = Duration::from_millis(500);
/// ... up to this one.
pub const JOIN_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Largest reply of the node service, in bytes.
pub const NODE_MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Bytes in flight on the channel from a node to its own node service, in each direction.
pub const IN_PROCESS_BYTES: usize = 64 << 10;

/// How often a connection to a peer is checked with a ping.
pub const PEER_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// How long a peer may take to answer a ping. After that the connection is closed, and the calls on it fail.
pub const PEER_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Streams that peers may reset before their connection is closed. Heartbeats with a deadline reset hundreds of
/// streams while a node is silent, and must be able to reach it again afterwards.
pub const PEER_RESET_STREAMS_MAX: usize = 1000;

/// How often a node checks whether its certificate expires soon.
pub const CERTIFICATE_LOOK_INTERVAL: Duration = Duration::from_secs(3600);
/// Pause before a node requests a certificate again, where no other node renewed it.
pub const CERTIFICATE_RETRY_PAUSE: Duration = Duration::from_secs(5);
/// How often a node checks whether an organisation's certificate files have changed.
pub const ORGANISATION_LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Wrong join tokens that one source may present within [`REFUSED_ENROLMENTS_INTERVAL`].
pub const REFUSED_ENROLMENTS_PER_SOURCE_MAX: u32 = 10;
/// Refused join tokens within this time are counted together, and become one audit entry.
pub const REFUSED_ENROLMENTS_INTERVAL: Duration = Duration::from_secs(60);
/// Sources whose refused join tokens are counted: 4,096 addresses use a few hundred kilobytes.
pub const ENROLMENT_SOURCES_MAX: u64 = 4096;

/// Longest validity of a join token, in seconds.
pub const TOKEN_VALID_S_MAX: u64 = 7 * 86_400;

/// How often the connection of a remote administrator is checked with a ping.
pub const ADMIN_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Concurrent calls on one connection of a remote administrator.
pub const ADMIN_STREAMS_MAX: u32 = 32;

/// Largest message from an administrator, in bytes: a signed catalog fits.
pub const ADMIN_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Size of the part of a backup in one message to an administrator, in bytes.
pub const BACKUP_PART_BYTES: usize = 256 << 10;

/// Events that may wait to be written into the activation log.
pub const ACTIVATIONS_QUEUED_MAX: usize = 8192;
/// How long events may wait before they are written into the activation log.
pub const ACTIVATIONS_PAUSE: Duration = Duration::from_millis(20);
/// Size at which a file of the activation log is full, in bytes.
pub const ACTIVATIONS_FILE_BYTES_MAX: u64 = 8 << 20;
/// Number of files of the activation log that are kept.
pub const ACTIVATIONS_FILES_MAX: usize = 16;
/// Largest number of events of one node in a reply.
pub const ACTIVATIONS_SHOWN_MAX: usize = 2000;
/// How often a call that follows events asks the nodes for new ones.
pub const ACTIVATIONS_FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

/// How often nodes exchange their estimates of distinct machines.
pub const DISTINCT_INTERVAL: Duration = Duration::from_secs(10);

/// Refused requests of one source that the activation log takes within [`REFUSALS_KEPT_WINDOW`].
pub const REFUSALS_KEPT_PER_SOURCE_MAX: u32 = 10;
/// The time within which [`REFUSALS_KEPT_PER_SOURCE_MAX`] applies.
pub const REFUSALS_KEPT_WINDOW: Duration = Duration::from_secs(60);
/// Sources that are counted separately at once; all others share the quota of one source. 4,096 addresses use a few
/// hundred kilobytes.
pub const QUOTA_SOURCES_MAX: usize = 4096;

/// The time within which `clients.new_cmids_per_minute` applies.
pub const NEW_CMIDS_WINDOW: Duration = Duration::from_secs(60);
/// Length of one interval in which new CMIDs are counted.
pub const NEW_CMIDS_INTERVAL: Duration = Duration::from_secs(600);
/// Number of these intervals that are kept: one hour, and the 7 days before it.
pub const NEW_CMIDS_INTERVALS_MAX: usize = 6 * (7 * 24 + 1);

/// Log lines that may wait to be written; further lines are dropped. They use at most 32 MiB, usually 1 MiB.
pub const LOG_QUEUED_MAX: usize = 4096;
/// Longest log line, in bytes; of a longer line only the beginning is kept.
pub const LOG_LINE_BYTES_MAX: usize = 8192;

/// Log lines of one kind that pass within [`LOG_WINDOW`].
pub const LOG_LINES_MAX: u32 = 100;
/// Log lines of one kind about requests of one source that pass within [`LOG_WINDOW`].
pub const LOG_LINES_PER_SOURCE_MAX: u32 = 10;
/// The time within which the limits of log lines apply.
pub const LOG_WINDOW: Duration = Duration::from_secs(1);

/// Concurrent connections to port 9688.
pub const HTTP_CONNECTIONS_MAX: usize = 128;
/// Concurrent connections to port 9688 from one source (an IPv4 address or an IPv6 /64).
pub const HTTP_CONNECTIONS_PER_SOURCE_MAX: usize = 64;
/// How long a connection to port 9688 may take to send its first or next request.
pub const HTTP_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection to port 9688 may take to send a request while more than half of the connections are taken.
pub const PRESSED_HTTP_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection to port 9688 may last.
pub const HTTP_CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);

/// Concurrent viewers of the console; each has a connection as long as it is open.
pub const CONSOLE_VIEWERS_MAX: usize = 16;
/// How long a viewer may take to read what was sent to it.
pub const CONSOLE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the nodes are queried for their state while the console has a viewer.
pub const CONSOLE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the nodes are queried for new events while the console has a viewer.
pub const CONSOLE_EVENTS_INTERVAL: Duration = Duration::from_secs(2);
/// How often the slow observations for the doctor's checks are made while the console has a viewer. They cost every
/// node a few writes, and some DNS queries.
pub const CONSOLE_EXAMINE_INTERVAL: Duration = Duration::from_secs(30);
/// Number of events that the console shows.
pub const CONSOLE_EVENTS_MAX: usize = 20;

/// How often a node samples its counts for the console.
pub const CONSOLE_SAMPLE_INTERVAL: Duration = Duration::from_secs(30);
/// Number of samples that are kept: those of one day.
pub const CONSOLE_SAMPLES_MAX: usize = 2880;
/// Number of points that the console draws from the samples.
pub const CONSOLE_POINTS_MAX: usize = 480;
/// Number of applications whose counts are sampled.
pub const CONSOLE_APPLICATIONS_MAX: usize = 64;

/// Tickets for the console that are valid and not used yet.
pub const CONSOLE_TICKETS_MAX: usize = 64;
/// How long a ticket for the console is valid.
pub const CONSOLE_TICKET_LIFETIME: Duration = Duration::from_secs(60);
/// Concurrent sessions of the console.
pub const CONSOLE_SESSIONS_MAX: usize = 256;
/// How long a session of the console lasts.
pub const CONSOLE_SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Longest path of a Unix socket, in bytes (`sun_path`, less the final zero).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// `TimeoutStopSec` in `deploy/systemd/quorate.service`, in seconds: after it systemd kills the node.
pub const SUPERVISOR_STOP_TIMEOUT_S: u64 = 90;

const _: () = assert!(
    2 * STOP_DEADLINE.as_secs() + SHUTDOWN_DEADLINE.as_secs() + FLUSH_DEADLINE.as_secs() + CLEANUP_DEADLINE.as_secs()
        < SUPERVISOR_STOP_TIMEOUT_S
);
const _: () = assert!(SHUTDOWN_DEADLINE.as_secs() > replication::limits::HANDOVER_DEADLINE.as_secs());
const _: () = assert!(SETTLE_TIMEOUT.as_secs() > 2 * discovery::limits::CONVERSATION_TIMEOUT.as_secs());
const _: () = assert!(READ_BYTES > dcerpc::limits::FRAGMENT_BYTES_MAX as usize);
const _: () = assert!(ADMIN_MESSAGE_BYTES_MAX > activation::limits::CATALOG_BYTES_MAX);
const _: () = assert!(HTTP_CONNECTIONS_PER_SOURCE_MAX > 2 * CONSOLE_VIEWERS_MAX);
const _: () = assert!(HTTP_CONNECTIONS_MAX > HTTP_CONNECTIONS_PER_SOURCE_MAX);
const _: () = assert!(LOG_LINES_PER_SOURCE_MAX < LOG_LINES_MAX);
const _: () = assert!(CONSOLE_SAMPLE_INTERVAL.as_secs() * CONSOLE_SAMPLES_MAX as u64 == 86_400);

/// How often a node checks the registry of keys.
pub const REGISTRY_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Pause between two log lines about a registry of keys that is not up to date.
pub const REGISTRY_WARNING_PAUSE: Duration = Duration::from_secs(60);

/// How long the leader waits before it creates a missing registry of keys, so that the administrator who set the
/// format can register first.
pub const REGISTRY_GRACE: Duration = Duration::from_secs(10);

/// How long the other members may take to report whether they know a key.
pub const VOUCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Calling nodes that may wait until the other members have been queried about them.
pub const VOUCHING_WAITING_MAX: usize = 8;

/// Calling nodes that the other members know and this node's state does not hold yet.
pub const VOUCHED_MAX: usize = 64;

/// How often a node that holds the authority's key checks whether the other voters hold it.
pub const AUTHORITY_LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long the result of that check holds for one voter. It may destroy the key of an earlier authority.
pub const AUTHORITY_LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How long a program may take to report its build.
pub const BUILD_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a program's report of its build is read, in bytes.
pub const BUILD_TEXT_BYTES_MAX: u64 = 4096;
