//! The difference between a node's desired records and the records in DNS, as one update. Pure.
//!
//! Invariant: never names a whole record set in an update, only single records by their rdata: records whose target
//! is the node's own, and addresses at that target.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::desired::{Desired, Neighbours};
use super::error::PublishError;
use crate::name::{DnsName, NameError};
use crate::record::{AddressRecord, Srv, SrvRecord};

/// The records that a server has at the service's name and at the target's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresentRecords {
    pub srv: Vec<SrvRecord>,
    /// A and AAAA records of the target; `None` where they were not queried, and then they are not changed.
    pub addresses: Option<Vec<AddressRecord>>,
}

/// Changes that a server makes all or none (RFC 2136), deletions first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The owner name of the SRV records.
    pub service_name: DnsName,
    /// The owner name of the addresses.
    pub target: DnsName,
    /// The changes; empty where there is nothing to do.
    pub changes: Vec<RecordChange>,
}

/// The addition or deletion of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordChange {
    DeleteSrv(Srv),
    DeleteAddress(IpAddr),
    AddSrv { srv: Srv, ttl_seconds: u32 },
    AddAddress { address: IpAddr, ttl_seconds: u32 },
}

/// A change of an address that the primary refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedChange {
    /// The owner name of the address.
    pub name: DnsName,
    pub change: RecordChange,
}

impl fmt::Display for RefusedChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.change)
    }
}

/// The type of a record, in the order in which separate updates are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RecordKind {
    Srv,
    A,
    Aaaa,
}

impl RecordChange {
    fn kind(&self) -> RecordKind {
        match self {
            Self::DeleteSrv(_) | Self::AddSrv { .. } => RecordKind::Srv,
            Self::DeleteAddress(IpAddr::V4(_)) | Self::AddAddress { address: IpAddr::V4(_), .. } => RecordKind::A,
            Self::DeleteAddress(IpAddr::V6(_)) | Self::AddAddress { address: IpAddr::V6(_), .. } => RecordKind::Aaaa,
        }
    }
}

impl Update {
    pub(super) fn is_of_srv(&self) -> bool {
        self.changes.iter().all(|change| change.kind() == RecordKind::Srv)
    }

    /// Whether it changes addresses. Such an update may be refused although the key may change the SRV record.
    pub(super) fn has_addresses(&self) -> bool {
        !self.is_of_srv()
    }

    /// The names that it changes, with the changes at each.
    pub(super) fn summary(&self) -> String {
        let at = |is_srv: bool, name: &DnsName| {
            let changes = self.changes.iter().filter(|change| (change.kind() == RecordKind::Srv) == is_srv);
            let changes: Vec<_> = changes.map(ToString::to_string).collect();
            (!changes.is_empty()).then(|| format!("{name} ({})", changes.join(", ")))
        };
        let parts = [at(true, &self.service_name), at(false, &self.target)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }

    /// The same changes as a separate update for each type of record, SRV first.
    pub(super) fn by_kind(self) -> impl Iterator<Item = Self> {
        [RecordKind::Srv, RecordKind::A, RecordKind::Aaaa].into_iter().filter_map(move |kind| {
            let changes: Vec<_> = self.changes.iter().filter(|change| change.kind() == kind).cloned().collect();
            (!changes.is_empty()).then(|| Self { changes, ..self.clone() })
        })
    }
}

/// The update that turns `standing` into the desired records.
///
/// Records of neighbours are not changed, and neither is their TTL: where there are some, the node's SRV record gets
/// their TTL, because a server keeps one TTL for all records of a name and type.
///
/// # Errors
/// [`PublishError::NameShared`] where an unknown host has a record at the name and sharing the name is not allowed;
/// [`PublishError::Name`] where service and domain are not a domain name.
pub fn difference(
    desired: &Desired,
    standing: &PresentRecords,
    neighbours: &Neighbours,
) -> Result<Update, PublishError> {
    let service_name = desired.service_name()?;
    let (own, others): (Vec<&SrvRecord>, Vec<_>) =
        standing.srv.iter().partition(|record| record.srv.target == desired.target);
    let strangers: Vec<&SrvRecord> =
        others.into_iter().filter(|record| !neighbours.members.contains(&record.srv.target)).collect();
    let foreign: BTreeSet<String> = strangers
        .iter()
        .filter(|record| neighbours.are_strange(&record.srv.target))
        .map(|record| record.srv.target.to_string())
        .collect();
    if !foreign.is_empty() && !neighbours.share_name {
        return Err(PublishError::NameShared { name: service_name, foreign: foreign.into_iter().collect() });
    }
    let ttl_seconds = strangers.first().map_or(desired.ttl_seconds, |record| record.ttl_seconds);

    let srv = desired.srv();
    let mut changes: Vec<RecordChange> = own
        .iter()
        .filter(|record| record.srv != srv)
        .map(|record| RecordChange::DeleteSrv(record.srv.clone()))
        .collect();
    let addresses = address_changes(desired, standing);
    changes.extend(addresses.iter().filter(|change| matches!(change, RecordChange::DeleteAddress(_))).cloned());
    if !own.iter().any(|record| record.srv == srv && record.ttl_seconds == ttl_seconds) {
        changes.push(RecordChange::AddSrv { srv, ttl_seconds });
    }
    changes.extend(addresses.into_iter().filter(|change| matches!(change, RecordChange::AddAddress { .. })));
    Ok(Update { service_name, target: desired.target.clone(), changes })
}

fn address_changes(desired: &Desired, standing: &PresentRecords) -> Vec<RecordChange> {
    let Some(there) = &standing.addresses else { return Vec::new() };
    if desired.addresses.is_empty() {
        return Vec::new();
    }
    let ttl_seconds = desired.ttl_seconds;
    let wanted: BTreeSet<IpAddr> = desired.addresses.iter().copied().collect();
    let stale = there.iter().filter(|record| !wanted.contains(&record.address));
    let right: BTreeSet<IpAddr> =
        there.iter().filter(|record| record.ttl_seconds == ttl_seconds).map(|record| record.address).collect();
    let missing = wanted.difference(&right).map(|address| RecordChange::AddAddress { address: *address, ttl_seconds });
    stale.map(|record| RecordChange::DeleteAddress(record.address)).chain(missing).collect()
}

/// The update that removes the records of `target`: its SRV records, and its addresses where `standing` has them.
///
/// # Errors
/// [`PublishError::Name`] where service and domain are not a domain name.
pub fn withdrawal(
    service: &str,
    domain: &DnsName,
    target: &DnsName,
    standing: &PresentRecords,
) -> Result<Update, NameError> {
    let own = standing.srv.iter().filter(|record| record.srv.target == *target);
    let addresses = standing.addresses.iter().flatten();
    let changes = own
        .map(|record| RecordChange::DeleteSrv(record.srv.clone()))
        .chain(addresses.map(|record| RecordChange::DeleteAddress(record.address)))
        .collect();
    Ok(Update { service_name: domain.below(service)?, target: target.clone(), changes })
}

impl fmt::Display for RecordChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeleteSrv(srv) => write!(formatter, "delete SRV {srv}"),
            Self::DeleteAddress(address) => write!(formatter, "delete {} {address}", kind(*address)),
            Self::AddSrv { srv, ttl_seconds } => write!(formatter, "add {ttl_seconds} SRV {srv}"),
            Self::AddAddress { address, ttl_seconds } => {
                write!(formatter, "add {ttl_seconds} {} {address}", kind(*address))
            }
        }
    }
}

pub(super) fn kind(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "A" } else { "AAAA" }
}

#[cfg(test)]
mod tests;
