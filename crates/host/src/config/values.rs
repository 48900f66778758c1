//! Values of the configuration with their own syntax, parsed while the file is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{AddrParseError, SocketAddr},
    path::Path,
    str::FromStr,
};

use activation::settings::ElectionProfile;
use activation::{
    catalog::Name,
    id::{NodeId, node_id},
};
use machine::{Choice, Factor};
use serde::{Deserialize, Deserializer, de::Error as _};
use transport::{Network, is_host_and_port};

/// The error for a text that is not such a value: what is wrong, and the fix.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("{text:?}: {source}; give ADDRESS:PORT, or off")]
    Listen { text: String, source: AddrParseError },
    #[error("{text:?} is not NODE=HOST:PORT; write each as \"NODE=HOST:PORT\", an IPv6 address in brackets")]
    Member { text: String },
    #[error("node {node} is listed twice; give each node one address")]
    MemberTwice { node: NodeId },
    #[error(
        "{text:?} is not an identity; give auto, machine, file, or factors separated by commas: system-disk, \
         system-volume, machine-id, board, network, processor"
    )]
    Identity { text: String },
    #[error("{text:?} is not the name of a platform class; use the name in the publisher's catalog")]
    Platform { text: String },
}

/// An address to listen on, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(Option<SocketAddr>);

impl ListenAddress {
    /// The address to listen on; `None` for `off`.
    pub fn get(self) -> Option<SocketAddr> {
        self.0
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self(Some(address))
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        let text = String::deserialize(text)?;
        let address = match text.as_str() {
            "" | "off" => return Ok(Self(None)),
            address => address.parse::<SocketAddr>(),
        };
        address.map(Self::from).map_err(|source| D::Error::custom(ValueError::Listen { text, source }))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// The properties by which a host is distinguished from others: `auto`, `machine`, `file`, or names of factors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostIdentity {
    /// `machine`, or in a container `file`: the data folder.
    #[default]
    Auto,
    /// The choice that the configuration gives.
    Chosen(Choice),
}

impl HostIdentity {
    /// The choice for the machine whose file system is mounted at `root`.
    pub(super) fn choice(&self, root: &Path) -> Choice {
        match self {
            Self::Auto => Choice::automatic(root),
            Self::Chosen(choice) => choice.clone(),
        }
    }
}

impl FromStr for HostIdentity {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let factor = |name: &str| Factor::OF_MACHINE.into_iter().find(|factor| factor.name() == name.trim());
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "machine" => Ok(Self::Chosen(Choice::Machine)),
            "file" => Ok(Self::Chosen(Choice::File)),
            names => {
                let factors = names.split(',').map(factor).collect::<Option<BTreeSet<_>>>();
                let factors = factors.ok_or_else(|| ValueError::Identity { text: text.to_owned() })?;
                Ok(Self::Chosen(Choice::Factors(factors)))
            }
        }
    }
}

impl fmt::Display for HostIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Chosen(Choice::Machine) => f.write_str("machine"),
            Self::Chosen(Choice::File) => f.write_str("file"),
            Self::Chosen(Choice::Factors(factors)) => {
                let names: Vec<_> = factors.iter().map(|factor| factor.name()).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

/// Reads a text, or a list of factors.
impl<'de> Deserialize<'de> for HostIdentity {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            List(Vec<String>),
        }
        let text = match Written::deserialize(value)? {
            Written::Text(text) => text,
            Written::List(names) => names.join(","),
        };
        text.parse().map_err(D::Error::custom)
    }
}

/// Reads the nodes that form the cluster at first, from a list of `NODE=HOST:PORT`.
pub(super) fn members<'de, D: Deserializer<'de>>(list: D) -> Result<BTreeMap<NodeId, String>, D::Error> {
    let list = Vec::<String>::deserialize(list)?;
    parse_members(&list).map_err(D::Error::custom)
}

fn parse_members(list: &[String]) -> Result<BTreeMap<NodeId, String>, ValueError> {
    let mut members = BTreeMap::new();
    for text in list {
        let (node, address) = parse_member(text).ok_or_else(|| ValueError::Member { text: text.clone() })?;
        if members.insert(node, address.to_owned()).is_some() {
            return Err(ValueError::MemberTwice { node });
        }
    }
    Ok(members)
}

fn parse_member(text: &str) -> Option<(NodeId, &str)> {
    let (node, address) = text.split_once('=')?;
    let node = node_id(node.trim().parse().ok()?).ok()?;
    is_host_and_port(address.trim()).then(|| (node, address.trim()))
}

/// Reads a list of networks.
pub(super) fn networks<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<Network>, D::Error> {
    let list = Vec::<String>::deserialize(list)?;
    list.iter().map(|text| text.trim().parse().map_err(D::Error::custom)).collect()
}

/// Reads the name of an election profile.
pub(super) fn profile<'de, D: Deserializer<'de>>(text: D) -> Result<Option<ElectionProfile>, D::Error> {
    String::deserialize(text)?.parse().map(Some).map_err(D::Error::custom)
}

/// Reads the name of a platform class.
pub(super) fn platform<'de, D: Deserializer<'de>>(text: D) -> Result<Name, D::Error> {
    let text = String::deserialize(text)?;
    text.parse().map_err(|_| D::Error::custom(ValueError::Platform { text }))
}
