//! Finds the primary of a zone by the zone's SOA record.

use futures::future::FutureExt as _;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::rdata::SOA;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::error::{FindError, sorted};
use super::finder::Finder;
use super::query_name::{name_of, question};
use crate::name::DnsName;

/// Owner and MNAME of an SOA record.
type Start = (DnsName, DnsName);

impl Finder {
    /// The zone of `name` and its primary: owner and MNAME of the nearest SOA record, upwards.
    ///
    /// Where the nearest SOA is of the root or of a public suffix, there is no such zone: hosts cannot publish
    /// there.
    pub(crate) async fn zone_primary(&self, name: &DnsName) -> Result<(DnsName, DnsName), FindError> {
        let no_zone = || FindError::NoZone { name: name.to_string() };
        let mut above = Some(name.clone());
        while let Some(asked) = above.filter(|asked| !asked.is_root()) {
            let name_asked = question(&asked)?;
            let resolvers = self.resolvers()?;
            let answer = resolvers.ask(|resolver| {
                let name = name_asked.clone();
                async move { resolver.lookup(name, RecordType::SOA).await }.boxed()
            });
            let found = match answer.await {
                Ok(answer) => answer.answers().iter().find_map(|record| match &record.data {
                    RData::SOA(soa) => start(&record.name, soa),
                    _ => None,
                }),
                Err(error) => said_with_absence(&asked, error)?,
            };
            if let Some((zone, primary)) = found {
                let is_own = zone.labels() >= 2 || domain_of(name).is_some_and(|domain| zone.is_in(&domain));
                return match primary.is_root() {
                    _ if !is_own => Err(no_zone()),
                    true => Err(FindError::NoMname { zone: zone.to_string() }),
                    false => Ok((zone, primary)),
                };
            }
            above = asked.parent();
        }
        Err(no_zone())
    }
}

/// The SOA record in a negative answer, which is the SOA of the zone that gave the answer.
fn said_with_absence(asked: &DnsName, error: NetError) -> Result<Option<Start>, FindError> {
    if !error.is_no_records_found() {
        return Err(sorted(asked, error));
    }
    Ok(error.into_soa().and_then(|record| start(&record.name, &record.data)))
}

fn start(owner: &hickory_resolver::proto::rr::Name, soa: &SOA) -> Option<Start> {
    Some((name_of(owner)?, name_of(&soa.mname)?))
}

/// The name without the labels of service and protocol.
fn domain_of(name: &DnsName) -> Option<DnsName> {
    let mut domain = Some(name.clone());
    while let Some(below) = domain.as_ref().filter(|domain| domain.to_string().starts_with('_')) {
        domain = below.parent();
    }
    domain.filter(|domain| !domain.is_root())
}
