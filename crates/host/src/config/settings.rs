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
    /// `true` or `false`.
    Flag,
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
    setting(
        "peers.promote_after_s",
        Form::Number,
        Some("60"),
        "Seconds after which a voter that is gone gives its vote to a learner, where there is one; not while it is drained",
    ),
    setting(
        "admin.listen",
        Form::Text,
        Some("\"[::]:1690\""),
        "Where administrators reach this node from afar (ADDRESS:PORT), with certificates; off: only through its socket",
    ),
    setting(
        "metrics.listen",
        Form::Text,
        Some("\"[::]:9688\""),
        "Where Prometheus finds /metrics, and others /livez and /readyz (ADDRESS:PORT), without certificates; off: nowhere",
    ),
    setting(
        "console.auth",
        Form::Flag,
        Some("false"),
        "The console, on the same port: true: for whoever has a reader's rights (`quorate console`), from anywhere; false: for whoever is on this machine",
    ),
    setting(
        "tls.authority",
        Form::Text,
        None,
        "File with the certificates of your organisation's own authority (PEM), instead of the one that the cluster makes",
    ),
    setting(
        "tls.certificate",
        Form::Text,
        None,
        "With it: file with this node's certificate (O=quorate, OU=node, CN=its number) and those up to the authority",
    ),
    setting("tls.key", Form::Text, None, "With it: file with the private key of that certificate"),
    setting("raft.heartbeat_ms", Form::Number, Some("100"), "Milliseconds between the leader's heartbeats"),
    setting(
        "raft.election_timeout_min_ms",
        Form::Number,
        Some("300"),
        "A follower that hears no leader for a random time from here ...",
    ),
    setting("raft.election_timeout_max_ms", Form::Number, Some("600"), "... to here stands for election"),
    setting(
        "dns.target",
        Form::Text,
        None,
        "This node's own name, fully qualified, that SRV records point at; without it the node does not publish itself",
    ),
    setting("dns.publish", Form::Flag, Some("true"), "Whether this node publishes itself, where the cluster does"),
    setting(
        "dns.key_file",
        Form::Text,
        None,
        "File with the TSIG key that signs updates, as tsig-keygen writes it: one key for each node",
    ),
    setting(
        "dns.keytab",
        Form::Text,
        None,
        "Instead of a TSIG key: keytab of the service account that signs updates, for Active Directory (GSS-TSIG)",
    ),
    setting("dns.principal", Form::Text, None, "Account in the keytab (NAME@REALM); without it the first one there"),
    setting(
        "dns.unsigned",
        Form::Flag,
        Some("false"),
        "Send updates without a signature: only where DNS asks for none",
    ),
    setting(
        "dns.primary",
        Form::Text,
        None,
        "DNS server that takes updates (HOST[:PORT]); without it the one of the SOA",
    ),
    setting(
        "dns.resolvers",
        Form::List,
        Some("[]"),
        "DNS servers (ADDRESS:PORT) that are asked for the SOA; without any, as the system is configured",
    ),
    setting("dns.service", Form::Text, Some("\"_vlmcs._tcp\""), "Service and protocol of the SRV record"),
    setting("dns.priority", Form::Number, Some("0"), "Priority of this node: lower ones are asked first"),
    setting("dns.weight", Form::Number, Some("0"), "Weight of this node: its share among those of one priority"),
    setting(
        "dns.addresses",
        Form::List,
        Some("[]"),
        "Addresses of dns.target; without any, that of clients.listen, or those with which this machine reaches others",
    ),
    setting("dns.share_name", Form::Flag, Some("false"), "Publish although records of others stand under the name"),
    setting("dns.known", Form::List, Some("[]"), "Targets of other hosts under the name that are never reported"),
    setting("dns.republish_h", Form::Number, Some("24"), "Hours after which all is published anew"),
    setting(
        "dns.serve",
        Form::List,
        Some("[]"),
        "Addresses of this machine (ADDRESS:PORT) on which the node itself answers DNS for dns.zone, over UDP and TCP",
    ),
    setting(
        "dns.zone",
        Form::Text,
        None,
        "The name that was delegated to the nodes: a domain, or the service's own name in one (_vlmcs._tcp.example.com)",
    ),
    setting(
        "drain.wait_s",
        Form::Number,
        Some("60"),
        "Longest time in seconds that `host drain` waits for resolvers to forget this node; less where dns.ttl_s is less",
    ),
];

/// `--clients-listen` for `clients.listen`.
pub fn flag(key: &str) -> String {
    key.replace(['.', '_'], "-")
}

/// `QUORATE_CLIENTS_LISTEN` for `clients.listen`.
pub fn variable(key: &str) -> String {
    format!("QUORATE_{}", key.replace('.', "_").to_uppercase())
}
