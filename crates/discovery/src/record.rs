//! The DNS records of a host: SRV at the service's name, A and AAAA at the target's name.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::name::DnsName;

/// The rdata of an SRV record (RFC 2782). Two SRV records are the same exactly when their rdata is equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Srv {
    pub target: DnsName,
    pub port: u16,
    /// Clients try lower priorities first.
    pub priority: u16,
    /// The share of clients among the records of one priority.
    pub weight: u16,
}

/// An SRV record as a server returned it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SrvRecord {
    #[serde(flatten)]
    pub srv: Srv,
    pub ttl_seconds: u32,
}

/// An A or AAAA record as a server returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AddressRecord {
    pub address: IpAddr,
    pub ttl_seconds: u32,
}

impl fmt::Display for Srv {
    /// Writes it as in a zone file: `priority weight port target`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, port, priority, weight } = self;
        write!(formatter, "{priority} {weight} {port} {target}")
    }
}
