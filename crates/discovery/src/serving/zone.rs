//! The content of a delegated zone: fixed names, and the hosts that are ready now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::limits::ADDRESSES_MAX;
use crate::name::{DnsName, NameError};
use crate::record::Srv;

/// The names of a zone that is delegated to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegated {
    pub(super) zone: DnsName,
    pub(super) service_name: DnsName,
    pub(super) ttl_seconds: u32,
}

/// The zone cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelegatedError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(
        "the service name {service_name} is not in the delegated zone {zone}: delegate the service name or a name \
         above it"
    )]
    Outside { zone: DnsName, service_name: DnsName },
}

/// The content of the zone at one time, as this server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The nodes that serve the zone, at most [`crate::limits::HOSTS_MAX`]; the parent zone should name the same
    /// nodes.
    pub name_servers: Vec<DnsName>,
    /// The hosts that are ready, at most [`crate::limits::HOSTS_MAX`].
    pub ready: Vec<Srv>,
    /// Addresses of targets and name servers, ready or not: a resolver needs the addresses of the name servers to
    /// send a query.
    pub addresses: BTreeMap<DnsName, Vec<IpAddr>>,
    /// The serial of the SOA record, which increases with every change.
    pub serial: u32,
}

impl Delegated {
    /// The TTL of the records, in seconds: after this time clients no longer see a node that is gone.
    pub const TTL_SECONDS: u32 = 5;

    /// `zone` is the delegated name. The records of `service` are below `domain`, which may be the zone itself, or
    /// above it where only the service's own name is delegated.
    ///
    /// # Errors
    /// [`DelegatedError`] where the service's name is not in the zone.
    pub fn new(zone: DnsName, service: &str, domain: &DnsName, ttl_seconds: u32) -> Result<Self, DelegatedError> {
        let service_name = domain.below(service)?;
        if !service_name.is_in(&zone) {
            return Err(DelegatedError::Outside { zone, service_name });
        }
        Ok(Self { zone, service_name, ttl_seconds })
    }

    pub(super) fn addresses<'s>(&self, snapshot: &'s Snapshot, name: &DnsName) -> &'s [IpAddr] {
        let all = snapshot.addresses.get(name).filter(|_| name.is_in(&self.zone)).map_or(&[][..], Vec::as_slice);
        all.get(..ADDRESSES_MAX).unwrap_or(all)
    }

    /// Whether the name, or one below it, has records. The service's name always exists, with or without hosts.
    pub(super) fn exists(&self, snapshot: &Snapshot, name: &DnsName) -> bool {
        let fixed = BTreeSet::from([&self.zone, &self.service_name]);
        fixed.into_iter().chain(snapshot.addresses.keys()).any(|there| there.is_in(name))
    }
}
