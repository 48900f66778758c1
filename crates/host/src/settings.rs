//! Every setting of a node, once: the configuration file, the flags, the `QUORATE_...` variables and the commented
//! file that `quorate host init` writes all come from this table.

/// How the text of a flag or a variable becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Text,
    /// A whole number.
    Number,
    /// Parts separated by commas.
    List,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its place in the file: `section.name`, or `name` above all sections.
    pub key: &'static str,
    /// How its text is read.
    pub form: Form,
    /// What stands in a new file, as TOML; none where `host init` must be told.
    pub default: Option<&'static str>,
    /// What it does, with its unit.
    pub help: &'static str,
}

const fn setting(key: &'static str, form: Form, default: Option<&'static str>, help: &'static str) -> Setting {
    Setting { key, form, default, help }
}

/// All of them, in the order of the file.
pub const SETTINGS: &[Setting] = &[
    setting(
        "node",
        Form::Number,
        None,
        "Number of this node in its cluster, 1 to 65535; never given to another machine",
    ),
    setting("data", Form::Text, None, "Folder with the node's store, snapshots, keys and administration socket"),
    setting(
        "platform",
        Form::Text,
        Some("\"server-standard-and-enterprise\""),
        "Platform class of this machine, as the publisher's catalog names it: it decides which keys the machine may hold",
    ),
    setting(
        "clients.listen",
        Form::Text,
        Some("\"[::]:1688\""),
        "Where client machines reach this node (ADDRESS:PORT)",
    ),
    setting(
        "clients.connections_max",
        Form::Number,
        Some("4096"),
        "Connections at once; further ones wait in the system's queue",
    ),
    setting(
        "clients.connections_per_source_max",
        Form::Number,
        Some("256"),
        "Connections at once from one address; further ones are closed",
    ),
    setting(
        "clients.idle_timeout_s",
        Form::Number,
        Some("60"),
        "Seconds until a connection on which nothing happens is closed",
    ),
    setting(
        "clients.pdu_timeout_s",
        Form::Number,
        Some("5"),
        "Seconds a client may take to send one whole PDU, and to take an answer",
    ),
    setting(
        "peers.listen",
        Form::Text,
        Some("\"127.0.0.1:1689\""),
        "Where the other nodes reach this one (ADDRESS:PORT)",
    ),
    setting(
        "peers.members",
        Form::List,
        None,
        "The nodes that form the cluster at first, this one among them: NODE=HOST:PORT of the peer address",
    ),
    setting("raft.heartbeat_ms", Form::Number, Some("100"), "Milliseconds between the leader's heartbeats"),
    setting(
        "raft.election_timeout_min_ms",
        Form::Number,
        Some("300"),
        "A follower that hears no leader for a random time from here ...",
    ),
    setting("raft.election_timeout_max_ms", Form::Number, Some("600"), "... to here stands for election"),
];

/// `--clients-listen` for `clients.listen`.
pub fn flag(key: &str) -> String {
    key.replace(['.', '_'], "-")
}

/// `QUORATE_CLIENTS_LISTEN` for `clients.listen`.
pub fn variable(key: &str) -> String {
    format!("QUORATE_{}", key.replace('.', "_").to_uppercase())
}
