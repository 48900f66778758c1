//! What one node wants to stand in one domain (R25, R26).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::name::{DnsName, NameError};
use crate::record::Srv;

/// A domain of the publish list, with the priority and weight of this node in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    pub name: DnsName,
    /// Lower is tried first.
    #[serde(default)]
    pub priority: u16,
    /// Share among the hosts of one priority.
    #[serde(default)]
    pub weight: u16,
}

/// The records of one node in one domain: one SRV record, and A and AAAA records of its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Service and protocol, [`Desired::SERVICE`] where nothing else is configured.
    pub service: String,
    pub domain: Domain,
    /// The node's own name, fully qualified. Every record that names it belongs to this node.
    pub target: DnsName,
    pub port: u16,
    /// One for the whole cluster: servers keep one TTL for all records of a name and type.
    pub ttl_seconds: u32,
    /// All addresses of the target, at most [`crate::limits::ADDRESSES_MAX`]. Empty: A and AAAA are left alone.
    pub addresses: Vec<IpAddr>,
}

impl Desired {
    /// The service that clients look for (R16).
    pub const SERVICE: &str = "_vlmcs._tcp";

    /// The TTL where none is configured.
    pub const TTL_SECONDS: u32 = 300;

    /// The name at which the SRV record stands.
    ///
    /// # Errors
    /// Where service and domain together are no domain name.
    pub fn service_name(&self) -> Result<DnsName, NameError> {
        self.domain.name.below(&self.service)
    }

    /// The SRV record's rdata.
    pub fn srv(&self) -> Srv {
        Srv { target: self.target.clone(), port: self.port, priority: self.domain.priority, weight: self.domain.weight }
    }
}

/// Who else may stand under the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Publish although records of strangers stand under the name.
    pub share_name: bool,
    /// Targets of the cluster's nodes.
    pub members: Vec<DnsName>,
    /// Targets that the configuration names as known; they are never in the way.
    pub known: Vec<DnsName>,
}

impl Neighbours {
    pub(super) fn are_strange(&self, target: &DnsName) -> bool {
        !self.members.contains(target) && !self.known.contains(target)
    }
}
