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
    /// The section `gateway`: what is forwarded to upstreams.
    #[serde(default)]
    pub gateway: Gateway,
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
            help: "Number of this node in its cluster, 1 to 65535; never reused for another machine",
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
            help: "What identifies this host (R23), for keys that are made from then on: auto (machine, but file in a container), machine, file (the data folder: a copied folder is a copied host), or hardware factors of the machine, separated by commas: system-disk, system-volume, machine-id, board, network, processor",
        },
    ]
}

section! {
    /// Settings of the port for client machines.
    "clients" Clients {
        listen: SocketAddr = SocketAddr::from(([0; 8], 1688)),
            "Address on which this node listens for client machines (ADDRESS:PORT)";
        advertise: Option<String> = None,
            "Address at which client machines reach this node (HOST[:PORT]), if it differs from clients.listen, as behind a port mapping or address translation. The node's DNS records use its port, its address and, without dns.target, its name";
        connections_max: usize = 4096, at least 1,
            "Maximum number of open connections; at the limit a new connection closes the oldest idle one of the source with the most";
        connections_per_source_default: usize = 256, at least 1,
            "Maximum number of open connections from one source (an IPv4 address or an IPv6 /64), where the cluster's clients.connections_per_source_max is 0; at the limit a new connection closes the source's oldest idle one";
        idle_timeout_s: u64 = 60, at least 1,
            "Seconds after which an idle connection is closed";
        pdu_timeout_s: u64 = 5, at least 1,
            "Seconds that a client may take to send one complete PDU, and to read a response";
        #[serde(deserialize_with = "values::networks")]
        allow: Vec<Network> = Vec::new(),
            "Networks (ADDRESS/BITS) from which client machines may connect (list loopback too, if it is needed); empty: all. Read again on SIGHUP";
        #[serde(deserialize_with = "values::networks")]
        exempt: Vec<Network> = Vec::new(),
            "Networks (ADDRESS/BITS) to which no limit per source applies: gateways, load balancers, imaging. Read again on SIGHUP";
        new_cmids_per_minute: u32 = 0,
            "New CMIDs, which are in no count yet, that this node counts per minute from one source (an IPv4 address or an IPv6 /64); further ones are refused with 0xC004F039; 0: no limit. Read again on SIGHUP";
    }
}

section! {
    /// Settings of the gateway on this node; its upstreams are settings of the cluster.
    "gateway" Gateway {
        #[serde(deserialize_with = "values::networks")]
        allow: Vec<Network> = Vec::new(),
            "Networks (ADDRESS/BITS) whose clients are forwarded to the upstreams of gateway.upstreams; empty: loopback and private networks";
    }
}

section! {
    /// Settings of the communication with the other nodes.
    "peers" Peers {
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 1689)),
            "Address on which this node listens for the other nodes (ADDRESS:PORT)";
        #[serde(deserialize_with = "values::members")]
        members: BTreeMap<NodeId, String> = BTreeMap::new(),
            "The nodes that form the cluster initially, including this one: NODE=HOST:PORT of the peer address";
        promote_after_s: u64 = 60, at least 1,
            "Seconds after which a learner, if there is one, replaces a voter that does not respond; not while the voter is drained";
        #[serde(deserialize_with = "values::networks")]
        allow: Vec<Network> = Vec::new(),
            "Networks (ADDRESS/BITS) from which nodes may connect (list loopback too, if it is needed); empty: all. Read again on SIGHUP";
    }
}

section! {
    /// Settings of remote administration.
    "admin" Admin {
        listen: ListenAddress = SocketAddr::from(([0; 8], 1690)).into(),
            "Address on which this node listens for remote administrators, who need certificates (ADDRESS:PORT); off: administration only through the socket";
        #[serde(deserialize_with = "values::networks")]
        allow: Vec<Network> = Vec::new(),
            "Networks (ADDRESS/BITS) from which administrators may connect (list loopback too, if it is needed); empty: all. The list does not apply to the socket. Read again on SIGHUP";
    }
}

section! {
    /// Settings of metrics and health.
    "metrics" Metrics {
        listen: ListenAddress = SocketAddr::from(([0; 8], 9688)).into(),
            "Address on which this node serves /metrics, /livez and /readyz over HTTP (ADDRESS:PORT), without certificates; off: no HTTP";
        #[serde(deserialize_with = "values::networks")]
        allow: Vec<Network> = Vec::new(),
            "Networks (ADDRESS/BITS) from which scrapers, probes and browsers may connect (list loopback too, if it is needed); empty: all. Read again on SIGHUP";
    }
}

section! {
    /// Settings of the console, the page for administrators on the port of the metrics.
    "console" Console {
        auth: bool = false,
            "Who may use the console, on the same port: true: callers with at least the role reader (`quorate console`), from any machine; false: any user of this machine";
    }
}

section! {
    /// Settings of the file of administrators' acts, which is written in addition to the replicated audit record.
    "audit" Audit {
        file: Option<PathBuf> = None,
            "File to which each act of an administrator through this node, performed or refused, is appended as a line with a JSON object; opened again on SIGHUP";
    }
}

section! {
    /// Settings of the log on standard error, or in the journal.
    "log" Log {
        level: Option<LogLevel> = None,
            "Log level: off, error, warn, info, debug or trace, and after commas TARGET=LEVEL, as in info,host=debug; if it is missing, the value of QUORATE_LOG or RUST_LOG, else info. Read again on SIGHUP";
    }
}

section! {
    /// Files of an organisation's own authority: the first three are given, or none where the cluster has its own
    /// authority.
    "tls" Tls {
        authority: Option<PathBuf> = None,
            "File with the certificates of your organisation's authority (PEM), which replaces the cluster's own authority";
        certificate: Option<PathBuf> = None,
            "With tls.authority: file with this node's certificate (O=quorate, OU=node, CN=its number) and the intermediate certificates";
        key: Option<PathBuf> = None,
            "With tls.authority: file with the private key of that certificate";
        crl: Option<PathBuf> = None,
            "With tls.authority: file with the certificate revocation lists of that authority (PEM, or one list in DER; 4 MiB at most). Revoked certificates are refused. Read again when it changes, and on SIGHUP";
    }
}

section! {
    /// Settings of election times.
    "raft" Raft {
        #[serde(deserialize_with = "values::profile")]
        profile: Option<ElectionProfile> = None,
            "Election profile of this node: near or far, by the distance between the nodes. It overrides the cluster's setting raft.profile; if it is missing, that setting applies. Read again on SIGHUP";
        heartbeat_ms: u64 = 0,
            "Milliseconds between the leader's heartbeats; 0: the profile's value (near 100, far 400). A round trip between nodes may take three quarters of it at most";
        election_timeout_min_ms: u64 = 0,
            "Minimum election timeout in milliseconds; 0: the profile's value (near 300, far 600)";
        election_timeout_max_ms: u64 = 0,
            "Maximum election timeout in milliseconds: a follower that receives no heartbeat for a random time between the two stands for election; 0: the profile's value (near 600, far 1200)";
    }
}

section! {
    /// Settings of the node's DNS records (R25 to R29). Names are text here: the node parses them when it starts.
    "dns" Dns {
        target: Option<String> = None,
            "Fully qualified name of this node, the target of its SRV record; without it the node does not publish itself";
        port: u16 = 0,
            "Port in this node's SRV record, if it differs from the port on which the node listens; 0: that of clients.advertise, else that of clients.listen or the node's clients.port";
        publish_node: bool = true,
            "Whether this node publishes itself in DNS, if publishing is on in the cluster (the cluster's dns.publish)";
        key_file: Option<PathBuf> = None,
            "File with the TSIG key that signs updates, as tsig-keygen writes it: one key for each node";
        keytab: Option<PathBuf> = None,
            "Instead of a TSIG key: keytab of the service account that signs updates, for Active Directory (GSS-TSIG)";
        principal: Option<String> = None,
            "Account in the keytab (NAME@REALM); without it the first account there";
        unsigned: bool = false,
            "Send updates without a signature: only if the DNS server requires none";
        primary: Option<String> = None,
            "DNS server that accepts updates (HOST[:PORT]); without it the primary that the SOA names";
        resolvers: Vec<SocketAddr> = Vec::new(),
            "DNS servers (ADDRESS:PORT) that are queried for the SOA; without any, the system's resolvers";
        service: String = discovery::Desired::SERVICE.into(),
            "Service and protocol of the SRV record";
        priority: u16 = 0,
            "Priority in this node's SRV record: clients try lower values first";
        weight: u16 = 0,
            "Weight in this node's SRV record: its share of the clients among targets of one priority";
        addresses: Vec<IpAddr> = Vec::new(),
            "Addresses of dns.target; without any, that of clients.advertise or clients.listen, or the addresses from which this machine connects to others";
        share_name: bool = false,
            "Publish even if the name has records of other hosts";
        known: Vec<String> = Vec::new(),
            "Targets of other hosts under the name that are never reported";
        republish_h: u64 = 24, at least 1,
            "Hours after which the node publishes its records again";
        serve: Vec<SocketAddr> = Vec::new(),
            "Addresses of this machine (ADDRESS:PORT) on which the node itself answers DNS for dns.zone, over UDP and TCP";
        zone: Option<String> = None,
            "Zone that is delegated to the nodes: a domain, or the service's name in one (_vlmcs._tcp.example.com)";
    }
}

section! {
    /// Settings of taking a node out of service.
    "drain" Drain {
        wait_s: u64 = 60,
            "Maximum time in seconds that `host drain` waits until the node's records expire from resolvers' caches; less if dns.ttl_s is less";
    }
}
