//! The declaration of every setting of a node's own configuration: name, type, default, least value and help. The
//! structs, the defaults, the flags, the `QUORATE_...` variables, the commented file that `quorate host init` writes
//! and the table in `docs/settings.md` are generated from it. These settings take effect when the node starts; the
//! help names those that are read again on SIGHUP.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use activation::settings::ElectionProfile;
use activation::{catalog::Name, id::NodeId, limits::NODE_ID_MAX};
use serde::Deserialize;
use transport::Network;

use crate::config::{
    declaration::{Form, Setting, TooSmall, ValueType, section},
    log_level::LogLevel,
    renamed::OldName,
    values::{self, HostIdentity, ListenAddress},
};

/// The configuration of a node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The number of this node.
    pub node: NodeId,
    /// The path of this node's data folder.
    pub data: PathBuf,
    /// The node's platform class, by its name in catalogs.
    #[serde(default = "default_platform", deserialize_with = "values::platform")]
    pub platform: Name,
    /// The properties by which this machine is distinguished from other machines.
    #[serde(default)]
    pub identity: HostIdentity,
    /// The section `clients`: port 1688.
    #[serde(default)]
    pub clients: Clients,
    /// The section `peers`: the other nodes.
    #[serde(default)]
    pub peers: Peers,
    /// The section `raft`: election times.
    #[serde(default)]
    pub raft: Raft,
    /// The section `dns`: this node's records in DNS.
    #[serde(default)]
    pub dns: Dns,
    /// The section `drain`: taking the node out of service.
    #[serde(default)]
    pub drain: Drain,
    /// The section `admin`: remote administration.
    #[serde(default)]
    pub admin: Admin,
    /// The section `metrics`: metrics and health.
    #[serde(default)]
    pub metrics: Metrics,
    /// The section `console`: the page for administrators.
    #[serde(default)]
    pub console: Console,
    /// The section `audit`: the file of administrators' acts.
    #[serde(default)]
    pub audit: Audit,
    /// The section `log`: the level of the log.
    #[serde(default)]
    pub log: Log,
    /// The section `tls`: an organisation's own authority.
    #[serde(default)]
    pub tls: Tls,
    /// Settings that were given by an old name.
    #[serde(skip)]
    pub old_names: Vec<OldName>,
}

fn default_platform() -> Name {
    "server-standard-and-enterprise".parse().expect("it is a name: 1 to 48 lower-case letters and hyphens")
}

/// The settings above all sections of the file.
pub(super) fn declared_first() -> Vec<Setting> {
    vec![
        Setting {
            key: "node",
            form: Form::Number { min: 1, max: Some(NODE_ID_MAX) },
            default: None,
            help: "Number of this node in its cluster, 1 to 65535; never given to another machine",
        },
        Setting {
            key: "data",
            form: Form::Path,
            default: None,
            help: "Folder with the node's store, snapshots, keys and administration socket",
        },
        Setting {
            key: "platform",
            form: Form::Text,
            default: default_platform().toml(),
            help: "Platform class of this machine, as the publisher's catalog names it: it decides which keys the machine may hold",
        },
        Setting {
            key: "identity",
            form: Form::Text,
            default: HostIdentity::default().toml(),
            help: "By what this host is told from others (R23), for keys that are made from then on: auto (machine, and in a container file), machine, file (the data folder: a copied folder is a copied host), or factors of the machine, separated by commas: system-disk, system-volume, machine-id, board, network, processor",
        },
    ]
}

section! {
    /// Settings of the port for client machines.
    "clients" Clients {
        listen: SocketAddr = SocketAddr::from(([0; 8], 1688)),
            "Where client machines reach this node (ADDRESS:PORT)";
        advertise: Option<String> = None,
            "Where client machines reach this node (HOST[:PORT]) if that is not clients.listen: behind a port mapping or address translation. DNS gets its port, its address, and, without dns.target, its name";
        connections_max: usize = 4096, at least 1,
            "Connections at once; beyond them the oldest idle one of the source with most is closed for a new one";
        connections_per_source_default: usize = 256, at least 1,
            "Connections at once from one source (an IPv4 address or an IPv6 /64), where the cluster's clients.connections_per_source_max is 0; beyond them its oldest idle one is closed for a new one";
        idle_timeout_s: u64 = 60, at least 1,
            "Seconds until a connection on which nothing happens is closed";
        pdu_timeout_s: u64 = 5, at least 1,
            "Seconds a client may take to send one whole PDU, and to take an answer";
        #[serde(deserialize_with = "values::networks")]
        allow: Vec<Network> = Vec::new(),
            "Networks (ADDRESS/BITS) whose client machines may connect, loopback too; empty: all. Read again on SIGHUP";
        #[serde(deserialize_with = "values::networks")]
        exempt: Vec<Network> = Vec::new(),
            "Networks (ADDRESS/BITS) without a limit per source: gateways, balancers, imaging. Read again on SIGHUP";
        new_cmids_per_minute: u32 = 0,
            "Machines that no count remembers which this node counts from one source (an IPv4 address or an IPv6 /64) in a minute; further ones are refused with 0xC004F039; 0: no limit. Read again on SIGHUP";
    }
}

section! {
    /// Settings of the communication with the other nodes.
    "peers" Peers {
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 1689)),
            "Where the other nodes reach this one (ADDRESS:PORT)";
        #[serde(deserialize_with = "values::members")]
        members: BTreeMap<NodeId, String> = BTreeMap::new(),
            "The nodes that form the cluster at first, this one among them: NODE=HOST:PORT of the peer address";
        promote_after_s: u64 = 60, at least 1,
            "Seconds after which a voter that is gone gives its vote to a learner, where there is one; not while it is drained";
        #[serde(deserialize_with = "values::networks")]
        allow: Vec<Network> = Vec::new(),
            "Networks (ADDRESS/BITS) whose nodes may connect, loopback too; empty: all. Read again on SIGHUP";
    }
}

section! {
    /// Settings of remote administration.
    "admin" Admin {
        listen: ListenAddress = SocketAddr::from(([0; 8], 1690)).into(),
            "Where administrators reach this node from afar (ADDRESS:PORT), with certificates; off: only through its socket";
        #[serde(deserialize_with = "values::networks")]
        allow: Vec<Network> = Vec::new(),
            "Networks (ADDRESS/BITS) whose administrators may connect, loopback too; empty: all. The socket has no such list. Read again on SIGHUP";
    }
}

section! {
    /// Settings of metrics and health.
    "metrics" Metrics {
        listen: ListenAddress = SocketAddr::from(([0; 8], 9688)).into(),
            "Where Prometheus finds /metrics, and others /livez and /readyz (ADDRESS:PORT), without certificates; off: nowhere";
        #[serde(deserialize_with = "values::networks")]
        allow: Vec<Network> = Vec::new(),
            "Networks (ADDRESS/BITS) whose scrapers, probes and browsers may connect, loopback too; empty: all. Read again on SIGHUP";
    }
}

section! {
    /// Settings of the console, the page for administrators on the port of the metrics.
    "console" Console {
        auth: bool = false,
            "The console, on the same port: true: for whoever has a reader's rights (`quorate console`), from anywhere; false: for whoever is on this machine";
    }
}

section! {
    /// Settings of the file of administrators' acts, which is written in addition to the replicated audit record.
    "audit" Audit {
        file: Option<PathBuf> = None,
            "File to which each act of an administrator through this node, and each refused one, is appended, a JSON object a line; opened again on SIGHUP";
    }
}

section! {
    /// Settings of the log on standard error, or in the journal.
    "log" Log {
        level: Option<LogLevel> = None,
            "What is logged: off, error, warn, info, debug or trace, and with commas TARGET=LEVEL, as in info,host=debug; without it as QUORATE_LOG or RUST_LOG says, else info. Read again on SIGHUP";
    }
}

section! {
    /// Files of an organisation's own authority: the first three are given, or none where the cluster has its own
    /// authority.
    "tls" Tls {
        authority: Option<PathBuf> = None,
            "File with the certificates of your organisation's own authority (PEM), instead of the one that the cluster makes";
        certificate: Option<PathBuf> = None,
            "With it: file with this node's certificate (O=quorate, OU=node, CN=its number) and those up to the authority";
        key: Option<PathBuf> = None,
            "With it: file with the private key of that certificate";
        crl: Option<PathBuf> = None,
            "With it: file with the revocation lists of that authority (PEM, or one in DER; 4 MiB at most); what they hold is refused. Read again when it changes, and on SIGHUP";
    }
}

section! {
    /// Settings of election times.
    "raft" Raft {
        #[serde(deserialize_with = "values::profile")]
        profile: Option<ElectionProfile> = None,
            "How far the nodes are from each other, near or far, whatever the cluster's setting raft.profile says; without it the node follows that. Read again on SIGHUP";
        heartbeat_ms: u64 = 0,
            "Milliseconds between the leader's heartbeats; 0: as the profile says (near 100, far 400). A round trip takes three quarters of it at most";
        election_timeout_min_ms: u64 = 0,
            "A follower that hears no leader for a random time from here (0: near 300, far 600) ...";
        election_timeout_max_ms: u64 = 0,
            "... to here stands for election (0: near 600, far 1200)";
    }
}

section! {
    /// Settings of the node's DNS records (R25 to R29). Names are text here: the node parses them when it starts.
    "dns" Dns {
        target: Option<String> = None,
            "This node's own name, fully qualified, that SRV records point at; without it the node does not publish itself";
        port: u16 = 0,
            "Port in this node's SRV record, if clients reach it at another than it listens on; 0: that of clients.advertise, else that of clients.listen or the node's clients.port";
        publish_node: bool = true,
            "Whether this node publishes itself, where the cluster does (the cluster's dns.publish)";
        key_file: Option<PathBuf> = None,
            "File with the TSIG key that signs updates, as tsig-keygen writes it: one key for each node";
        keytab: Option<PathBuf> = None,
            "Instead of a TSIG key: keytab of the service account that signs updates, for Active Directory (GSS-TSIG)";
        principal: Option<String> = None,
            "Account in the keytab (NAME@REALM); without it the first one there";
        unsigned: bool = false,
            "Send updates without a signature: only where DNS asks for none";
        primary: Option<String> = None,
            "DNS server that takes updates (HOST[:PORT]); without it the one of the SOA";
        resolvers: Vec<SocketAddr> = Vec::new(),
            "DNS servers (ADDRESS:PORT) that are asked for the SOA; without any, as the system is configured";
        service: String = discovery::Desired::SERVICE.into(),
            "Service and protocol of the SRV record";
        priority: u16 = 0,
            "Priority of this node: lower ones are asked first";
        weight: u16 = 0,
            "Weight of this node: its share among those of one priority";
        addresses: Vec<IpAddr> = Vec::new(),
            "Addresses of dns.target; without any, that of clients.advertise or clients.listen, or those with which this machine reaches others";
        share_name: bool = false,
            "Publish although records of others stand under the name";
        known: Vec<String> = Vec::new(),
            "Targets of other hosts under the name that are never reported";
        republish_h: u64 = 24, at least 1,
            "Hours after which all is published anew";
        serve: Vec<SocketAddr> = Vec::new(),
            "Addresses of this machine (ADDRESS:PORT) on which the node itself answers DNS for dns.zone, over UDP and TCP";
        zone: Option<String> = None,
            "The name that was delegated to the nodes: a domain, or the service's own name in one (_vlmcs._tcp.example.com)";
    }
}

section! {
    /// Settings of taking a node out of service.
    "drain" Drain {
        wait_s: u64 = 60,
            "Longest time in seconds that `host drain` waits for resolvers to forget this node; less where dns.ttl_s is less";
    }
}
