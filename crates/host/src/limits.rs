//! Every bound of this crate that is no setting, with its unit last in the name.

use std::{num::NonZeroUsize, time::Duration};

/// How much is read from a client's connection at once, in bytes: more than one fragment.
pub const READ_BYTES: usize = 8 << 10;

/// Longest time without a byte between two PDUs of a client, where more than half of the connections of port 1688 are taken.
pub const PRESSED_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Open files that a node needs at the least (`ulimit -n`): below that it does not start.
pub const DESCRIPTORS_MIN: u64 = 128;
/// Of them, what a node needs beside the connections to its ports: its store, its log, its own connections to other nodes and
/// to DNS.
pub const DESCRIPTORS_OWN: usize = 64;

/// How long a process in which a task panicked may take to log the reason before it ends.
pub const LAST_LINE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long open requests may take once the node is told to stop,
pub const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// how long handing leadership over and stopping the replica,
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);
/// how long writing the rest of the activation log,
pub const FLUSH_DEADLINE: Duration = Duration::from_secs(5);
/// and how long what is left: the background tasks, and the administration socket's file.
pub const CLEANUP_DEADLINE: Duration = Duration::from_secs(2);

/// How long a bootstrapping node waits for the others.
pub const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a node that is to form a cluster, and finds that another one of the list has, waits until it is in that one,
pub const TAKEN_IN_TIMEOUT: Duration = Duration::from_secs(5);
/// and how often it looks.
pub const TAKEN_IN_PAUSE: Duration = Duration::from_millis(20);

/// CMIDs whose machines a node remembers, so as to find those that several share,
pub const DUPLICATES_KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// machines of each,
pub const DUPLICATES_MACHINES_MAX: usize = 8;
/// CMIDs in an answer about them,
pub const DUPLICATES_SHOWN_MAX: usize = 1000;
/// and how long such a CMID is not named in the log again.
pub const DUPLICATES_NAMED_INTERVAL: Duration = Duration::from_secs(3600);

/// Longest TSIG key file: it has a few lines.
pub const KEY_FILE_BYTES_MAX: u64 = 16 << 10;

/// How long a connection to a peer may take to be made.
pub const PEER_CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

/// How long another node may take to say how it is,
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// or to look into its keys and sign,
pub const WORK_TIMEOUT: Duration = Duration::from_secs(5);
/// or to bring its records in line: every domain's primary has the time that `discovery` gives it.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Largest reply of the node service, in bytes.
pub const NODE_MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Bytes in flight on the channel from a node to its own node service, in each direction.
pub const IN_PROCESS_BYTES: usize = 64 << 10;

/// A peer that answers no ping for this long is gone: what waits on its channel fails.
pub const PEER_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// See [`PEER_KEEP_ALIVE_INTERVAL`].
pub const PEER_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Streams that peers may reset before the connection is closed on them: heartbeats with a deadline reset theirs by the
/// hundred while a node is silent, and must find it again afterwards.
pub const PEER_RESET_STREAMS_MAX: usize = 1000;

/// How often a node looks whether its certificate ends soon,
pub const CERTIFICATE_LOOK_INTERVAL: Duration = Duration::from_secs(3600);
/// after what pause it asks again where no other node renewed it,
pub const CERTIFICATE_RETRY_PAUSE: Duration = Duration::from_secs(5);
/// or whether an organisation's files have changed.
pub const ORGANISATION_LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Join tokens that one source may show in vain within [`REFUSED_ENROLMENTS_INTERVAL`].
pub const REFUSED_ENROLMENTS_PER_SOURCE_MAX: u32 = 10;
/// Within this time refused join tokens are counted together, and become one entry of the audit.
pub const REFUSED_ENROLMENTS_INTERVAL: Duration = Duration::from_secs(60);
/// Sources whose refused join tokens are counted: 4,096 addresses, a few hundred kilobytes.
pub const ENROLMENT_SOURCES_MAX: u64 = 4096;

/// Longest time that a join token may have, in seconds.
pub const TOKEN_VALID_S_MAX: u64 = 7 * 86_400;

/// How often somebody who administrates from afar is asked whether they are still there.
pub const ADMIN_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Calls at once on one connection from afar.
pub const ADMIN_STREAMS_MAX: u32 = 32;

/// Largest message of an administrator, in bytes: a signed catalog with room.
pub const ADMIN_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Part of a backup in one message to an administrator, in bytes.
pub const BACKUP_PART_BYTES: usize = 256 << 10;

/// Events that wait to be written into the activation log,
pub const ACTIVATIONS_QUEUED_MAX: usize = 8192;
/// how long they may,
pub const ACTIVATIONS_PAUSE: Duration = Duration::from_millis(20);
/// bytes of one of its files,
pub const ACTIVATIONS_FILE_BYTES_MAX: u64 = 8 << 20;
/// how many of them are kept,
pub const ACTIVATIONS_FILES_MAX: usize = 16;
/// and events of one node in an answer.
pub const ACTIVATIONS_SHOWN_MAX: usize = 2000;
/// How often whoever follows events asks the nodes for more.
pub const ACTIVATIONS_FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

/// How often nodes tell each other how many machines ask.
pub const DISTINCT_INTERVAL: Duration = Duration::from_secs(10);

/// Refused requests of one source that the activation log takes
pub const REFUSALS_KEPT_PER_SOURCE_MAX: u32 = 10;
/// in so long a time.
pub const REFUSALS_KEPT_WINDOW: Duration = Duration::from_secs(60);
/// Sources that are told apart at once; more of them share the part of one. 4,096 addresses, a few hundred kilobytes.
pub const QUOTA_SOURCES_MAX: usize = 4096;

/// In this time `clients.new_cmids_per_minute` counts.
pub const NEW_CMIDS_WINDOW: Duration = Duration::from_secs(60);
/// New CMIDs are counted by intervals as long as this,
pub const NEW_CMIDS_INTERVAL: Duration = Duration::from_secs(600);
/// and as many of them: an hour, and the 7 days before.
pub const NEW_CMIDS_INTERVALS_MAX: usize = 6 * (7 * 24 + 1);

/// Log lines that wait to be written, and are dropped beyond that; at most 32 MiB, usually 1 MiB.
pub const LOG_QUEUED_MAX: usize = 4096;
/// Longest line of a log, in bytes; of what is longer the beginning is kept.
pub const LOG_LINE_BYTES_MAX: usize = 8192;

/// Lines of one kind that a log takes,
pub const LOG_LINES_MAX: u32 = 100;
/// how many of them may be about requests of one source,
pub const LOG_LINES_PER_SOURCE_MAX: u32 = 10;
/// in so long a time.
pub const LOG_WINDOW: Duration = Duration::from_secs(1);

/// Connections at once to port 9688,
pub const HTTP_CONNECTIONS_MAX: usize = 128;
/// of one source, an IPv4 address or an IPv6 /64,
pub const HTTP_CONNECTIONS_PER_SOURCE_MAX: usize = 64;
/// how long one of them may take to ask, and to ask again,
pub const HTTP_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// where more than half of the connections are taken,
pub const PRESSED_HTTP_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// and how long it may stay.
pub const HTTP_CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);

/// Those who look at the console at once; each has a connection for as long as they look.
pub const CONSOLE_VIEWERS_MAX: usize = 16;
/// How long one of them may take to read what it was sent.
pub const CONSOLE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the nodes are asked while somebody looks,
pub const CONSOLE_INTERVAL: Duration = Duration::from_secs(1);
/// for new events,
pub const CONSOLE_EVENTS_INTERVAL: Duration = Duration::from_secs(2);
/// and, which costs every node a few writes and DNS some questions, for all that the doctor wants to know.
pub const CONSOLE_EXAMINE_INTERVAL: Duration = Duration::from_secs(30);
/// Events that it shows.
pub const CONSOLE_EVENTS_MAX: usize = 20;

/// How often a node notes its counts for the console,
pub const CONSOLE_SAMPLE_INTERVAL: Duration = Duration::from_secs(30);
/// how many of them it keeps: a day's,
pub const CONSOLE_SAMPLES_MAX: usize = 2880;
/// how many points are drawn of them,
pub const CONSOLE_POINTS_MAX: usize = 480;
/// and of how many applications.
pub const CONSOLE_APPLICATIONS_MAX: usize = 64;

/// Tickets for the console that nobody has used yet,
pub const CONSOLE_TICKETS_MAX: usize = 64;
/// and how long one is good.
pub const CONSOLE_TICKET_LIFETIME: Duration = Duration::from_secs(60);
/// Those who came in with one,
pub const CONSOLE_SESSIONS_MAX: usize = 256;
/// and how long they may stay.
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

/// How often a node looks whether the registry of keys holds what it should.
pub const REGISTRY_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Pause between two lines of the log that say that it does not.
pub const REGISTRY_WARNING_PAUSE: Duration = Duration::from_secs(60);

/// How long a cluster that may have a registry of keys has none before its leader sees to it: who set the format may be in it.
pub const REGISTRY_GRACE: Duration = Duration::from_secs(10);

/// How long the other members may take to say whether they know a key.
pub const VOUCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Callers that the other members are to be asked about.
pub const VOUCHING_WAITING_MAX: usize = 8;

/// Callers that the other members know and this node's state does not yet.
pub const VOUCHED_MAX: usize = 64;

/// How often a node that holds the authority's key looks whether the other voters do.
pub const AUTHORITY_LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long a program may take to say which build it is.
pub const BUILD_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of that is read, in bytes.
pub const BUILD_TEXT_BYTES_MAX: u64 = 4096;
