//! The records that one node wants to have in one domain (R25, R26).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::name::{DnsName, NameError};
use crate::record::Srv;

/// A domain of the publish list, with the priority and weight of this node in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    pub name: DnsName,
    /// Clients try lower priorities first.
    #[serde(default)]
    pub priority: u16,
    /// The share of clients among the hosts of one priority.
    #[serde(default)]
    pub weight: u16,
}

/// The records of one node in one domain: one SRV record, and A and AAAA records of its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Service and protocol; [`Desired::SERVICE`] by default.
    pub service: String,
    pub domain: Domain,
    /// The node's fully qualified name. Every record with this target belongs to the node.
    pub target: DnsName,
    pub port: u16,
    /// The TTL, one for the whole cluster: servers keep one TTL for all records of a name and type.
    pub ttl_seconds: u32,
    /// All addresses of the target, at most [`crate::limits::ADDRESSES_MAX`]. Empty: A and AAAA records are not
    /// changed.
    pub addresses: Vec<IpAddr>,
}

impl Desired {
    /// The service that clients look up (R16).
    pub const SERVICE: &str = "_vlmcs._tcp";

    /// The default TTL, in seconds.
    pub const TTL_SECONDS: u32 = 300;

    /// The owner name of the SRV record.
    ///
    /// # Errors
    /// [`NameError`] where service and domain together are not a domain name.
    pub fn service_name(&self) -> Result<DnsName, NameError> {
        self.domain.name.below(&self.service)
    }

    /// The SRV record's rdata.
    pub fn srv(&self) -> Srv {
        Srv { target: self.target.clone(), port: self.port, priority: self.domain.priority, weight: self.domain.weight }
    }
}

/// Records of other hosts that may have the same owner name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Whether to publish although there are records of unknown hosts at the name.
    pub share_name: bool,
    /// Targets of the cluster's nodes.
    pub members: Vec<DnsName>,
    /// Targets that the configuration lists as known; they do not prevent publishing.
    pub known: Vec<DnsName>,
}

impl Neighbours {
    pub(super) fn are_strange(&self, target: &DnsName) -> bool {
        !self.members.contains(target) && !self.known.contains(target)
    }
}
