//! The configuration of a node: file, then variables, then flags; the later one stands.
//!
//! Unknown keys are refused. Every error names the file (or the flag), the key and the fix.

pub mod init;
pub mod settings;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};
use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};
use replication::RaftSettings;
use serde::Deserialize;

use crate::{
    config::settings::{Form, SETTINGS, Setting, flag, variable},
    test_hooks,
};

/// What a node is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Number of this node.
    pub node: u64,
    /// Its folder.
    pub data: PathBuf,
    /// Its platform class, as catalogs name it.
    #[serde(default = "platform")]
    pub platform: String,
    /// Port 1688.
    #[serde(default)]
    pub clients: Clients,
    /// The other nodes.
    #[serde(default)]
    pub peers: Peers,
    /// Elections.
    #[serde(default)]
    pub raft: Raft,
    /// Its records in DNS.
    #[serde(default)]
    pub dns: Dns,
    /// Going out of service.
    #[serde(default)]
    pub drain: Drain,
    /// Administration from afar.
    #[serde(default)]
    pub admin: Admin,
    /// Metrics and health.
    #[serde(default)]
    pub metrics: Metrics,
    /// The page for administrators.
    #[serde(default)]
    pub console: Console,
    /// An organisation's own authority.
    #[serde(default)]
    pub tls: Tls,
}

fn platform() -> String {
    "server-standard-and-enterprise".into()
}

/// What concerns client machines.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// Address and port.
    pub listen: SocketAddr,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_source_max: usize,
    /// Seconds without anything.
    pub idle_timeout_s: u64,
    /// Seconds for one whole PDU.
    pub pdu_timeout_s: u64,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0; 8], 1688)),
            connections_max: 4096,
            connections_per_source_max: 256,
            idle_timeout_s: 60,
            pdu_timeout_s: 5,
        }
    }
}

/// What concerns the other nodes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peers {
    /// Address and port.
    pub listen: SocketAddr,
    /// NODE=HOST:PORT each.
    pub members: Vec<String>,
    /// Seconds after which a voter that is gone gives its vote to a learner.
    pub promote_after_s: u64,
}

impl Default for Peers {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 1689)), members: Vec::new(), promote_after_s: 60 }
    }
}

/// Election times in milliseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raft {
    /// Between heartbeats.
    pub heartbeat_ms: u64,
    /// Shortest patience of a follower.
    pub election_timeout_min_ms: u64,
    /// Longest.
    pub election_timeout_max_ms: u64,
}

impl Default for Raft {
    fn default() -> Self {
        Self { heartbeat_ms: 100, election_timeout_min_ms: 300, election_timeout_max_ms: 600 }
    }
}

/// How a node publishes itself (R25 to R29). As text: the node reads it when it starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Its own name; absent: it does not publish itself.
    pub target: Option<String>,
    /// Whether it publishes itself at all.
    pub publish: bool,
    /// The TSIG key.
    pub key_file: Option<PathBuf>,
    /// Of a service account, instead of the key.
    pub keytab: Option<PathBuf>,
    /// The account in the keytab; absent: its first.
    pub principal: Option<String>,
    /// Updates without a signature.
    pub unsigned: bool,
    /// Where updates go; absent: as the SOA says.
    pub primary: Option<String>,
    /// Servers that are asked for the SOA.
    pub resolvers: Vec<SocketAddr>,
    /// Service and protocol.
    pub service: String,
    /// RFC 2782.
    pub priority: u16,
    /// RFC 2782.
    pub weight: u16,
    /// Of the target.
    pub addresses: Vec<IpAddr>,
    /// Beside records of others.
    pub share_name: bool,
    /// Targets of others that are never reported.
    pub known: Vec<String>,
    /// Hours.
    pub republish_h: u64,
    /// Where the node answers for `zone` itself; none: it does not.
    pub serve: Vec<SocketAddr>,
    /// What was delegated to the nodes.
    pub zone: Option<String>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            target: None,
            publish: true,
            key_file: None,
            keytab: None,
            principal: None,
            unsigned: false,
            primary: None,
            resolvers: Vec::new(),
            service: discovery::Desired::SERVICE.into(),
            priority: 0,
            weight: 0,
            addresses: Vec::new(),
            share_name: false,
            known: Vec::new(),
            republish_h: 24,
            serve: Vec::new(),
            zone: None,
        }
    }
}

/// How a node goes out of service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// Seconds.
    pub wait_s: u64,
}

impl Default for Drain {
    fn default() -> Self {
        Self { wait_s: 60 }
    }
}

/// Administration from afar.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port; empty or `off`: only the socket in the data folder.
    pub listen: String,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: "[::]:1690".into() }
    }
}

impl Admin {
    /// Where to listen, if anywhere.
    pub fn address(&self) -> Result<Option<SocketAddr>, std::net::AddrParseError> {
        address(&self.listen)
    }
}

/// Metrics and health.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Address and port; empty or `off`: nowhere.
    pub listen: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: "[::]:9688".into() }
    }
}

impl Metrics {
    /// Where to listen, if anywhere.
    pub fn address(&self) -> Result<Option<SocketAddr>, std::net::AddrParseError> {
        address(&self.listen)
    }
}

/// The page for administrators, on the port of the metrics.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Console {
    /// Whether it asks for a ticket, and answers from anywhere; otherwise it answers on this machine only.
    pub auth: bool,
}

fn address(text: &str) -> Result<Option<SocketAddr>, std::net::AddrParseError> {
    match text {
        "" | "off" => Ok(None),
        address => address.parse().map(Some),
    }
}

/// Files of an organisation's own authority: all three, or none where the cluster has an authority of its own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificates that are believed.
    pub authority: Option<PathBuf>,
    /// This node's, with what lies between it and the authority.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// A configuration that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; `quorate host init` writes one", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A key is unknown, missing or has a value of another kind.
    #[error("{origin}: {what}")]
    Key {
        /// The file or the flags.
        origin: String,
        /// The key, what is wrong with it, and the fix.
        what: String,
    },
    /// A value is of the right kind and still impossible.
    #[error("{origin}: {key}: {what}; {fix}")]
    Value {
        /// The file.
        origin: String,
        /// The key.
        key: &'static str,
        /// What is wrong.
        what: String,
        /// What to do.
        fix: &'static str,
    },
}

impl Config {
    /// Reads `file` and lays `overrides` over it.
    pub fn load(file: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
        Self::parse(&text, &file.display().to_string(), overrides)
    }

    /// The same from a text; `origin` is named in errors.
    pub fn parse(text: &str, origin: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        // Parsed alone first: the parser of the format names line and column.
        toml::from_str::<toml::Table>(text)
            .map_err(|error| ConfigError::Key { origin: origin.to_owned(), what: error.to_string() })?;
        let config: Self =
            Figment::from(Toml::string(text)).merge(overrides).extract().map_err(|error| key_error(origin, &error))?;
        config.check(origin)?;
        Ok(config)
    }

    fn check(&self, origin: &str) -> Result<(), ConfigError> {
        let refuse = |key, what: String, fix| Err(ConfigError::Value { origin: origin.into(), key, what, fix });
        if activation::id::node_id(self.node).is_err() {
            return refuse("node", format!("{} is no node number", self.node), "give one from 1 to 65535");
        }
        for (key, value) in [
            ("clients.connections_max", self.clients.connections_max as u64),
            ("clients.connections_per_source_max", self.clients.connections_per_source_max as u64),
            ("clients.idle_timeout_s", self.clients.idle_timeout_s),
            ("clients.pdu_timeout_s", self.clients.pdu_timeout_s),
            ("peers.promote_after_s", self.peers.promote_after_s),
            ("raft.heartbeat_ms", self.raft.heartbeat_ms),
            ("dns.republish_h", self.dns.republish_h),
        ] {
            if value == 0 {
                return refuse(key, "it is 0".into(), "give at least 1");
            }
        }
        let Raft { heartbeat_ms, election_timeout_min_ms, election_timeout_max_ms } = self.raft;
        if heartbeat_ms >= election_timeout_min_ms || election_timeout_min_ms >= election_timeout_max_ms {
            return refuse(
                "raft.election_timeout_min_ms",
                format!("{heartbeat_ms}, {election_timeout_min_ms}, {election_timeout_max_ms} do not rise"),
                "the heartbeat must be below the shortest timeout, that below the longest",
            );
        }
        for (key, listen) in [("admin.listen", &self.admin.listen), ("metrics.listen", &self.metrics.listen)] {
            if let Err(error) = address(listen) {
                return refuse(key, format!("{listen:?}: {error}"), "give ADDRESS:PORT, or off");
            }
        }
        let Tls { authority, certificate, key } = &self.tls;
        if ![certificate.is_some(), key.is_some()].iter().all(|given| *given == authority.is_some()) {
            let fix = "give tls.authority, tls.certificate and tls.key, or none of them";
            return refuse("tls.authority", "an authority of one's own is three files".into(), fix);
        }
        let members = match self.members() {
            Ok(members) => members,
            Err(what) => return refuse("peers.members", what, "write each as \"NODE=HOST:PORT\""),
        };
        if !members.is_empty() && !members.contains_key(&self.node) {
            let what = format!("this node, {}, is not among them", self.node);
            return refuse("peers.members", what, "list every node of the first cluster, this one too");
        }
        Ok(())
    }

    /// The nodes that form the cluster at first, by number.
    pub fn members(&self) -> Result<BTreeMap<u64, String>, String> {
        let mut members = BTreeMap::new();
        for member in &self.peers.members {
            let parsed = member.split_once('=').and_then(|(node, address)| {
                let node = activation::id::node_id(node.trim().parse().ok()?).ok()?;
                let (host, port) = address.trim().rsplit_once(':')?;
                (!host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)).then(|| (node, address.trim()))
            });
            let Some((node, address)) = parsed else { return Err(format!("{member:?} is no NODE=HOST:PORT")) };
            if members.insert(node, address.to_owned()).is_some() {
                return Err(format!("node {node} is listed twice"));
            }
        }
        Ok(members)
    }

    /// The settings of the replica.
    #[allow(clippy::needless_update, reason = "the tests' build has one more field")]
    pub fn raft_settings(&self) -> RaftSettings {
        test_hooks::raft_settings(RaftSettings {
            heartbeat_interval: Duration::from_millis(self.raft.heartbeat_ms),
            election_timeout_min: Duration::from_millis(self.raft.election_timeout_min_ms),
            election_timeout_max: Duration::from_millis(self.raft.election_timeout_max_ms),
            promote_after: Duration::from_secs(self.peers.promote_after_s),
            ..RaftSettings::default()
        })
    }

    /// The root below which the machine's own description is read.
    pub(crate) fn machine_root(&self) -> PathBuf {
        test_hooks::machine_root().unwrap_or_else(|| PathBuf::from("/"))
    }

    /// The administration socket.
    pub fn admin_socket(&self) -> PathBuf {
        self.data.join("admin.sock")
    }
}

fn key_error(origin: &str, error: &figment::Error) -> ConfigError {
    use figment::error::Kind;
    let origin = match &error.metadata {
        Some(metadata) if metadata.name == OVERRIDES => OVERRIDES.to_owned(),
        _ => origin.to_owned(),
    };
    let key = error.path.join(".");
    let what = match &error.kind {
        Kind::UnknownField(name, known) => {
            let section = error.path.split_last().map_or(String::new(), |(_, section)| section.join("."));
            let place = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
            format!("{name}: no such key{place}; known there: {}", known.join(", "))
        }
        Kind::MissingField(name) => {
            let flag = flag(name);
            let variable = variable(name);
            format!("{name}: missing; add it to the file, or give --{flag} or {variable}")
        }
        kind => format!("{key}: {kind}; correct the value"),
    };
    ConfigError::Key { origin, what }
}

const OVERRIDES: &str = "flags and QUORATE_ variables";

/// Settings given as flags or variables. A clap argument group made from the table of settings.
#[derive(Clone, Debug, Default)]
pub struct Overrides(BTreeMap<&'static str, String>);

impl Overrides {
    /// Gives one more, over what was given.
    pub fn set(&mut self, key: &'static str, text: String) {
        self.0.insert(key, text);
    }

    /// What was given, as text.
    pub fn given(&self) -> impl Iterator<Item = (&'static Setting, &str)> {
        SETTINGS.iter().filter_map(|setting| Some((setting, self.0.get(setting.key)?.as_str())))
    }
}

impl FromArgMatches for Overrides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut overrides = Self::default();
        overrides.update_from_arg_matches(matches)?;
        Ok(overrides)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS {
            let given =
                matches!(matches.value_source(setting.key), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
            if given && let Some(text) = matches.get_one::<String>(setting.key) {
                self.0.insert(setting.key, text.clone());
            }
        }
        Ok(())
    }
}

impl Args for Overrides {
    fn augment_args(command: Command) -> Command {
        SETTINGS.iter().fold(command, |command, setting| {
            let placeholder = match setting.form {
                Form::Text => "TEXT",
                Form::Number => "N",
                Form::List => "A,B,...",
                Form::Flag => "true|false",
            };
            command.arg(
                Arg::new(setting.key)
                    .long(flag(setting.key))
                    .env(variable(setting.key))
                    .hide_env_values(true)
                    .value_name(placeholder)
                    .help(setting.help)
                    .help_heading("Settings, over those of the file"),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl Provider for &Overrides {
    fn metadata(&self) -> Metadata {
        Metadata::named(OVERRIDES)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut dict = Dict::new();
        for setting in SETTINGS {
            let Some(text) = self.0.get(setting.key) else { continue };
            let value = match setting.form {
                Form::Text => Value::from(text.as_str()),
                Form::Number => text.parse::<u64>().map_or_else(|_| Value::from(text.as_str()), Value::from),
                Form::List => Value::from(text.split(',').map(str::trim).collect::<Vec<_>>()),
                Form::Flag => text.parse::<bool>().map_or_else(|_| Value::from(text.as_str()), Value::from),
            };
            match setting.key.split_once('.') {
                None => {
                    dict.insert(setting.key.into(), value);
                }
                Some((section, name)) => {
                    let section = dict.entry(section.into()).or_insert_with(|| Value::from(Dict::new()));
                    if let Value::Dict(_, section) = section {
                        section.insert(name.into(), value);
                    }
                }
            }
        }
        Ok(Profile::Default.collect(dict))
    }
}
