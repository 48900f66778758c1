//! Discovers hosts by SRV records, with the system's resolver or given servers (R16, R17).
//!
//! Invariant: never caches an answer: each call queries DNS; and a search ends within
//! [`crate::limits::SEARCH_TIMEOUT`].

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::FutureExt as _;
use futures::stream::{self, StreamExt as _};
use hickory_resolver::proto::rr::{RData, RecordType};
use rand::Rng;
use tokio::time::timeout;

use super::connect::interleave;
use super::error::{FindError, sorted};
use super::fixed::FixedHost;
use super::found::FoundHost;
use super::order::order;
use super::query_name::{name_of, question};
use super::resolvers::{Resolvers, Source, SystemResolvers};
use super::search::{AskedName, NameAnswer, Search};
use crate::limits::{ADDRESSES_MAX, ALIASES_MAX, HOSTS_MAX, RECORDS_MAX, SEARCH_TIMEOUT};
use crate::name::DnsName;
use crate::record::{Srv, SrvRecord};

/// The number of targets whose addresses are looked up at the same time.
const QUESTIONS_AT_ONCE: usize = 8;

/// The system's resolver configuration.
const SYSTEM_FILE: &str = "/etc/resolv.conf";
/// The port of the servers in that file.
const SYSTEM_PORT: u16 = 53;

/// Discovers hosts in DNS.
#[derive(Clone, Debug)]
pub struct Finder {
    source: Source,
}

impl Finder {
    /// Uses the system's configuration and its search list as they are at each query: `/etc/resolv.conf` is read
    /// again after it changed. Where it is missing or names no server, each query fails with
    /// [`FindError::Configuration`].
    pub fn system() -> Self {
        Self::system_at(PathBuf::from(SYSTEM_FILE), SYSTEM_PORT)
    }

    /// Uses the configuration in `file`, as [`Self::system`], with servers that listen on `port`.
    pub fn system_at(file: PathBuf, port: u16) -> Self {
        Self { source: Source::System(Arc::new(SystemResolvers::at(file, port))) }
    }

    /// Uses only these servers, over UDP and TCP.
    ///
    /// # Errors
    /// [`FindError::Configuration`] where `servers` is empty.
    pub fn with_servers(servers: &[SocketAddr], search: Vec<DnsName>) -> Result<Self, FindError> {
        Ok(Self { source: Source::Given(Arc::new(Resolvers::given(servers, search)?)) })
    }

    pub(super) fn resolvers(&self) -> Result<Arc<Resolvers>, FindError> {
        self.source.now()
    }

    /// A number that differs after the system's resolver configuration changed; constant for given servers.
    pub fn fingerprint(&self) -> u64 {
        self.source.fingerprint()
    }

    /// The domains that are searched where the caller names none (R17).
    ///
    /// # Errors
    /// [`FindError::Configuration`] where the system's configuration cannot be used.
    pub fn search(&self) -> Result<Vec<DnsName>, FindError> {
        Ok(self.resolvers()?.search.clone())
    }

    /// Finds hosts of a service in `domain`, or in the first domain of the search list that has any: see
    /// [`Finder::search_in`].
    ///
    /// # Errors
    /// As [`Search::result`].
    pub async fn find<R: Rng + Send>(
        &self,
        service: &str,
        domain: Option<&DnsName>,
        random: &mut R,
    ) -> Result<Vec<FoundHost>, FindError> {
        let domains = domain.map_or_else(|| self.search(), |domain| Ok(vec![domain.clone()]))?;
        self.search_in(service, &domains, random).await.result
    }

    /// Finds hosts of a service in the first of these domains that has usable ones, in the order in which to try
    /// them. A target without an address is left out; where no target of a domain has an address, the search
    /// continues.
    ///
    /// [`Search::result`] is [`FindError::NoRecord`] where every domain was queried and none has a record. It is
    /// another error where a domain could not be queried, or its targets have no address, because it is then unknown
    /// whether there are hosts.
    pub async fn search_in<R: Rng + Send>(&self, service: &str, domains: &[DnsName], random: &mut R) -> Search {
        let mut asked = Vec::new();
        if domains.is_empty() {
            let cause = "no domain was given, and the search list is empty".to_owned();
            return Search { asked, result: Err(FindError::Configuration { cause }) };
        }
        let search =
            timeout(SEARCH_TIMEOUT, Box::pin(self.first_with_hosts(service, domains, random, &mut asked))).await;
        let result = search.unwrap_or_else(|_| {
            Err(FindError::NoServer {
                name: format!("{service} in {} domains", domains.len()),
                cause: format!("not completed within {SEARCH_TIMEOUT:?}"),
            })
        });
        Search { asked, result }
    }

    async fn first_with_hosts<R: Rng + Send>(
        &self,
        service: &str,
        domains: &[DnsName],
        random: &mut R,
        asked: &mut Vec<AskedName>,
    ) -> Result<Vec<FoundHost>, FindError> {
        let mut names = Vec::new();
        let mut trouble = None;
        for domain in domains {
            let name = domain.below(service).map_err(|error| FindError::Configuration { cause: error.to_string() })?;
            let found = self.hosts_at(&name, random).await;
            let answer = match &found {
                Ok(hosts) => NameAnswer::Hosts(hosts.len()),
                Err(error) => NameAnswer::Nothing(error.clone()),
            };
            asked.push(AskedName { name: name.to_string(), answer });
            match found {
                Ok(hosts) => return Ok(hosts),
                // Includes the name of which it is an alias.
                Err(FindError::NoRecord { names: absent }) => names.extend(absent),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        Err(trouble.unwrap_or(FindError::NoRecord { names }))
    }

    /// The hosts of the SRV records at one name, with their addresses; at least one.
    async fn hosts_at<R: Rng + Send>(&self, name: &DnsName, random: &mut R) -> Result<Vec<FoundHost>, FindError> {
        let (mut records, additional) = self.srv_with_additional(name).await?;
        // RFC 2782: the root as target means that the service is not offered in this domain.
        records.retain(|record| !record.srv.target.is_root());
        if records.is_empty() {
            return Err(FindError::NoRecord { names: vec![name.to_string()] });
        }
        let ordered = order(records.into_iter().map(|record| record.srv).collect(), random);
        self.located(ordered, &additional).await
    }

    /// The SRV records at a name, in no particular order.
    ///
    /// # Errors
    /// [`FindError::NoRecord`] where there are none.
    pub async fn srv(&self, name: &DnsName) -> Result<Vec<SrvRecord>, FindError> {
        self.srv_with_additional(name).await.map(|(records, _)| records)
    }

    /// The SRV records at a name, or at the name of which it is an alias.
    async fn srv_with_additional(&self, name: &DnsName) -> Result<(Vec<SrvRecord>, Additional), FindError> {
        let mut passed = vec![name.clone()];
        let mut current = name.clone();
        loop {
            let failure = match self.srv_at(&current).await {
                // Servers that follow aliases themselves return a failure for a cycle.
                Err(failure @ (FindError::NoRecord { .. } | FindError::Failed { .. })) => failure,
                other => return other,
            };
            let Ok(Some(alias_of)) = self.alias_of(&current).await else {
                let is_dangling = current != *name && matches!(failure, FindError::NoRecord { .. });
                return Err(if is_dangling { dangling(name, &current) } else { failure });
            };
            let unusable = |cause| Err(FindError::Unusable { name: name.to_string(), cause });
            if passed.contains(&alias_of) {
                return unusable(format!("its aliases (CNAME) form a loop, back to {alias_of}"));
            }
            if passed.len() > ALIASES_MAX {
                return unusable(format!("more than {ALIASES_MAX} aliases (CNAME) follow one another"));
            }
            passed.push(alias_of.clone());
            current = alias_of;
        }
    }

    /// The name of which `name` is an alias. The resolver does not follow aliases of SRV records, so this is a
    /// separate query.
    async fn alias_of(&self, name: &DnsName) -> Result<Option<DnsName>, FindError> {
        let asked = question(name)?;
        let resolvers = self.resolvers()?;
        let answer = resolvers.ask(|resolver| {
            let asked = asked.clone();
            async move { resolver.lookup(asked, RecordType::CNAME).await }.boxed()
        });
        let answer = match answer.await {
            Err(error) if error.is_no_records_found() => return Ok(None),
            other => other.map_err(|error| sorted(name, error))?,
        };
        Ok(answer.answers().iter().find_map(|record| match &record.data {
            RData::CNAME(target) if name_of(&record.name).as_ref() == Some(name) => name_of(&target.0),
            _ => None,
        }))
    }

    async fn srv_at(&self, name: &DnsName) -> Result<(Vec<SrvRecord>, Additional), FindError> {
        let asked = question(name)?;
        let resolvers = self.resolvers()?;
        let answer = resolvers.ask(|resolver| {
            let asked = asked.clone();
            async move { resolver.lookup(asked, RecordType::SRV).await }.boxed()
        });
        let answer = answer.await.map_err(|error| sorted(name, error))?;
        let records: Vec<SrvRecord> = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(SrvRecord {
                    srv: Srv {
                        target: name_of(&srv.target)?,
                        port: srv.port,
                        priority: srv.priority,
                        weight: srv.weight,
                    },
                    ttl_seconds: record.ttl,
                }),
                _ => None,
            })
            .take(RECORDS_MAX)
            .collect();
        if records.is_empty() {
            return Err(FindError::NoRecord { names: vec![name.to_string()] });
        }
        let additional = answer.additionals().iter().filter_map(|record| {
            let address = record.data.ip_addr()?;
            Some((name_of(&record.name)?, address))
        });
        Ok((records, additional.take(RECORDS_MAX).collect()))
    }

    /// The hosts with their addresses, in the same order.
    async fn located(&self, ordered: Vec<Srv>, additional: &Additional) -> Result<Vec<FoundHost>, FindError> {
        let targets: Vec<String> = ordered.iter().take(HOSTS_MAX).map(|srv| srv.target.to_string()).collect();
        let lookups = ordered.into_iter().take(HOSTS_MAX).map(|srv| async move {
            let given: Vec<IpAddr> =
                additional.iter().filter(|(name, _)| *name == srv.target).map(|(_, address)| *address).collect();
            let both = given.iter().any(IpAddr::is_ipv4) && given.iter().any(IpAddr::is_ipv6);
            // Where only one family was sent, there may be no other, or the other did not fit into the answer.
            let asked = if both { Ok(Vec::new()) } else { self.addresses(&srv.target).await };
            let addresses = interleave(given.into_iter().chain(asked.unwrap_or_default()));
            let Srv { target, port, priority, weight } = srv;
            FoundHost { target: target.to_string(), port, priority, weight, addresses }
        });
        let hosts: Vec<FoundHost> = stream::iter(lookups)
            .buffered(QUESTIONS_AT_ONCE)
            .filter(|host| std::future::ready(!host.addresses.is_empty()))
            .collect()
            .await;
        if hosts.is_empty() { Err(FindError::NoAddress { targets }) } else { Ok(hosts) }
    }

    /// The addresses of a name, with alternating families.
    ///
    /// # Errors
    /// [`FindError::NoAddress`] where there are none.
    pub async fn addresses(&self, name: &DnsName) -> Result<Vec<IpAddr>, FindError> {
        self.addresses_with_ttl(name).await.map(|(addresses, _)| addresses)
    }

    /// The addresses of a name, as [`Finder::addresses`], and the shortest time to live of their records in seconds.
    ///
    /// # Errors
    /// [`FindError::NoAddress`] where there are none.
    pub async fn addresses_with_ttl(&self, name: &DnsName) -> Result<(Vec<IpAddr>, u32), FindError> {
        let asked = question(name)?;
        let resolvers = self.resolvers()?;
        let answer = resolvers.ask(|resolver| {
            let asked = asked.clone();
            async move { resolver.lookup_ip(asked).await }.boxed()
        });
        let answer = answer.await.map_err(|error| match sorted(name, error) {
            FindError::NoRecord { names } => FindError::NoAddress { targets: names },
            other => other,
        })?;
        let ttl_seconds = answer.as_lookup().answers().iter().map(|record| record.ttl).min().unwrap_or_default();
        Ok((interleave(answer.iter().take(2 * ADDRESSES_MAX)), ttl_seconds))
    }

    /// A fixed host with its addresses. A short name is looked up in each domain of the search list, and then as it
    /// is.
    ///
    /// # Errors
    /// [`FindError`] where the host has no address.
    pub async fn resolve(&self, fixed: &FixedHost, usual_port: u16) -> Result<FoundHost, FindError> {
        let host = |target: String, addresses| FoundHost {
            target,
            port: fixed.port.unwrap_or(usual_port),
            priority: 0,
            weight: 0,
            addresses,
        };
        if let Some(address) = fixed.address() {
            return Ok(host(fixed.host.clone(), vec![address]));
        }
        let alone: DnsName =
            fixed.host.parse().map_err(|error| FindError::Configuration { cause: format!("{error}") })?;
        let is_short = alone.labels() == 1 && !fixed.host.ends_with('.');
        let search = if is_short { self.search()? } else { Vec::new() };
        let below = search.iter().filter_map(|domain| domain.below(&fixed.host).ok());
        let mut error = None;
        for name in below.chain([alone]) {
            match timeout(SEARCH_TIMEOUT, Box::pin(self.addresses(&name))).await {
                Ok(Ok(addresses)) => return Ok(host(name.to_string(), addresses)),
                Ok(Err(cause)) => error = error.or(Some(cause)),
                Err(_) => error = error.or(Some(silence(&name))),
            }
        }
        Err(error.unwrap_or(FindError::NoAddress { targets: vec![fixed.host.clone()] }))
    }
}

/// The error for an alias whose target has no records.
fn dangling(name: &DnsName, end: &DnsName) -> FindError {
    FindError::NoRecord { names: vec![format!("{name} (an alias of {end})")] }
}

/// Addresses from the additional section of an answer.
type Additional = Vec<(DnsName, IpAddr)>;

fn silence(name: &DnsName) -> FindError {
    FindError::NoServer { name: name.to_string(), cause: format!("not completed within {SEARCH_TIMEOUT:?}") }
}
