//! Hosts looked up by SRV records, against the system's resolver or given servers (R16, R17).
//!
//! Invariant: nothing is cached here: who asks, asks DNS; and a search ends within [`crate::limits::SEARCH_TIMEOUT`].

use std::net::{IpAddr, SocketAddr};

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Resolver, TokioResolver};
use rand::Rng;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::connect::interleave;
use super::error::{FindError, sorted};
use super::fixed::FixedHost;
use super::order::order;
use crate::limits::{
    ADDRESSES_MAX, HOSTS_MAX, QUESTION_TIMEOUT, RECORDS_MAX, SEARCH_DOMAINS_MAX, SEARCH_TIMEOUT, SERVERS_MAX,
};
use crate::name::DnsName;
use crate::record::{Srv, SrvRecord};

/// Targets whose addresses are asked for at once.
const QUESTIONS_AT_ONCE: usize = 8;

/// Asks DNS for hosts.
#[derive(Clone, Debug)]
pub struct Finder {
    resolver: TokioResolver,
    /// One for each server, where there are several: the resolver passes over a server that is silent, and takes the word
    /// of one that has failed.
    each: Vec<TokioResolver>,
    search: Vec<DnsName>,
}

/// A host to try, with its addresses in the order in which to try them, never none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundHost {
    /// A name with its last dot, or an address.
    pub target: String,
    pub port: u16,
    pub priority: u16,
    pub weight: u16,
    pub addresses: Vec<IpAddr>,
}

impl FoundHost {
    /// Target and port as they are typed: `node1.example.com:1688`, `192.0.2.1:1688`, `[2001:db8::1]:1688`.
    pub fn endpoint(&self) -> String {
        match self.target.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, self.port).to_string(),
            Err(_) => format!("{}:{}", self.target.trim_end_matches('.'), self.port),
        }
    }

    /// Whether the other is the same target and port, wherever DNS says that it is.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let bare = |target: &str| target.trim_end_matches('.').to_ascii_lowercase();
        self.port == other.port && bare(&self.target) == bare(&other.target)
    }

    /// Addresses with the port.
    pub fn sockets(&self) -> Vec<SocketAddr> {
        self.addresses.iter().map(|address| SocketAddr::new(*address, self.port)).collect()
    }
}

impl Finder {
    /// Asks as the system is configured to, with its search list.
    ///
    /// # Errors
    /// [`FindError::Configuration`] where the system's configuration cannot be read.
    pub fn system() -> Result<Self, FindError> {
        let (config, options) =
            read_system_conf().map_err(|error| FindError::Configuration { cause: error.to_string() })?;
        let listed = config.search().iter().chain(config.domain()).filter_map(name_of);
        let mut search: Vec<DnsName> = Vec::new();
        for domain in listed {
            if !domain.is_root() && !search.contains(&domain) {
                search.push(domain);
            }
        }
        Self::new(config, options, search)
    }

    /// Asks these servers, over UDP and TCP, and no other.
    ///
    /// # Errors
    /// [`FindError::Configuration`] where there is no server.
    pub fn with_servers(servers: &[SocketAddr], search: Vec<DnsName>) -> Result<Self, FindError> {
        if servers.is_empty() {
            return Err(FindError::Configuration { cause: "no DNS server is named".to_owned() });
        }
        let servers = servers.iter().map(|server| {
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            config.connections.iter_mut().for_each(|connection| connection.port = server.port());
            config
        });
        let mut options = ResolverOpts::default();
        options.use_hosts_file = ResolveHosts::Never;
        Self::new(ResolverConfig::from_parts(None, Vec::new(), servers.collect()), options, search)
    }

    fn new(config: ResolverConfig, mut options: ResolverOpts, mut search: Vec<DnsName>) -> Result<Self, FindError> {
        options.cache_size = 0;
        options.attempts = 1;
        options.timeout = QUESTION_TIMEOUT;
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        search.truncate(SEARCH_DOMAINS_MAX);
        let resolver = |config| {
            let builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
            let built = builder.with_options(options.clone()).build();
            built.map_err(|error| FindError::Configuration { cause: error.to_string() })
        };
        let alone = |server: &NameServerConfig| ResolverConfig::from_parts(None, Vec::new(), vec![server.clone()]);
        let servers = config.name_servers();
        let each = servers.iter().take(SERVERS_MAX).filter(|_| servers.len() > 1).map(alone).map(resolver);
        let each = each.collect::<Result<_, _>>()?;
        Ok(Self { resolver: resolver(config)?, each, search })
    }

    /// Asks the servers as the resolver does; where one has failed, each of them until one has not.
    pub(super) async fn ask<T>(
        &self,
        question: impl Fn(TokioResolver) -> BoxFuture<'static, Result<T, NetError>>,
    ) -> Result<T, NetError> {
        let mut answer = question(self.resolver.clone()).await;
        for server in &self.each {
            if !answer.as_ref().is_err_and(is_servers_failure) {
                break;
            }
            answer = question(server.clone()).await;
        }
        answer
    }

    /// The domains that are searched where none is named (R17).
    pub fn search(&self) -> &[DnsName] {
        &self.search
    }

    /// Hosts of a service in `domain`, or in the first domain of the search list that has any, in the order in which they
    /// are to be tried. A target without an address is left out.
    ///
    /// # Errors
    /// [`FindError::NoRecord`] where every domain was asked and none has a record; another error where one could not be
    /// asked, because then nobody knows.
    pub async fn find<R: Rng + Send>(
        &self,
        service: &str,
        domain: Option<&DnsName>,
        random: &mut R,
    ) -> Result<Vec<FoundHost>, FindError> {
        let domains = domain.map_or(self.search.as_slice(), std::slice::from_ref);
        if domains.is_empty() {
            return Err(FindError::Configuration {
                cause: "no domain is named, and the search list is empty".to_owned(),
            });
        }
        let search = async {
            let (records, additional) = self.first_with_records(service, domains).await?;
            let ordered = order(records, random);
            self.located(ordered, &additional).await
        };
        let silent = || FindError::NoServer {
            name: format!("{service} in {} domains", domains.len()),
            cause: format!("no end within {SEARCH_TIMEOUT:?}"),
        };
        timeout(SEARCH_TIMEOUT, Box::pin(search)).await.map_err(|_| silent())?
    }

    async fn first_with_records(
        &self,
        service: &str,
        domains: &[DnsName],
    ) -> Result<(Vec<Srv>, Additional), FindError> {
        let mut names = Vec::new();
        let mut trouble = None;
        for domain in domains {
            let name = domain.below(service).map_err(|error| FindError::Configuration { cause: error.to_string() })?;
            match self.srv_with_additional(&name).await {
                Ok((mut records, additional)) => {
                    // RFC 2782: the root as target says that the service is not offered here.
                    records.retain(|record| !record.srv.target.is_root());
                    if !records.is_empty() {
                        return Ok((records.into_iter().map(|record| record.srv).collect(), additional));
                    }
                }
                Err(FindError::NoRecord { .. }) => {}
                Err(error) => trouble = trouble.or(Some(error)),
            }
            names.push(name.to_string());
        }
        Err(trouble.unwrap_or(FindError::NoRecord { names }))
    }

    /// The SRV records that DNS gives for a name, in no particular order.
    ///
    /// # Errors
    /// [`FindError::NoRecord`] where there are none.
    pub async fn srv(&self, name: &DnsName) -> Result<Vec<SrvRecord>, FindError> {
        self.srv_with_additional(name).await.map(|(records, _)| records)
    }

    async fn srv_with_additional(&self, name: &DnsName) -> Result<(Vec<SrvRecord>, Additional), FindError> {
        let asked = question(name)?;
        let answer = self.ask(|resolver| {
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

    /// Hosts with their addresses, in the same order.
    async fn located(&self, ordered: Vec<Srv>, additional: &Additional) -> Result<Vec<FoundHost>, FindError> {
        let targets: Vec<String> = ordered.iter().take(HOSTS_MAX).map(|srv| srv.target.to_string()).collect();
        let lookups = ordered.into_iter().take(HOSTS_MAX).map(|srv| async move {
            let given: Vec<IpAddr> =
                additional.iter().filter(|(name, _)| *name == srv.target).map(|(_, address)| *address).collect();
            let both = given.iter().any(IpAddr::is_ipv4) && given.iter().any(IpAddr::is_ipv6);
            // One family alone may be all there is, or what fitted the answer.
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

    /// The addresses of a name, families alternating.
    ///
    /// # Errors
    /// [`FindError::NoAddress`] where there are none.
    pub async fn addresses(&self, name: &DnsName) -> Result<Vec<IpAddr>, FindError> {
        let asked = question(name)?;
        let answer = self.ask(|resolver| {
            let asked = asked.clone();
            async move { resolver.lookup_ip(asked).await }.boxed()
        });
        let answer = answer.await.map_err(|error| match sorted(name, error) {
            FindError::NoRecord { names } => FindError::NoAddress { targets: names },
            other => other,
        })?;
        Ok(interleave(answer.iter().take(2 * ADDRESSES_MAX)))
    }

    /// A fixed host with its addresses: a short name is looked up in each domain of the search list, then alone.
    ///
    /// # Errors
    /// Where it has none.
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
        let below = self.search.iter().filter(|_| is_short).filter_map(|domain| domain.below(&fixed.host).ok());
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

/// What one server says of itself, and another need not.
fn is_servers_failure(error: &NetError) -> bool {
    use ResponseCode::{NotImp, Refused, ServFail};
    matches!(error, NetError::Dns(DnsError::ResponseCode(ServFail | Refused | NotImp)))
}

/// Addresses that came with an answer.
type Additional = Vec<(DnsName, IpAddr)>;

fn silence(name: &DnsName) -> FindError {
    FindError::NoServer { name: name.to_string(), cause: format!("no end within {SEARCH_TIMEOUT:?}") }
}

pub(super) fn question(name: &DnsName) -> Result<Name, FindError> {
    let labels = name.wire().iter().filter(|label| !label.is_root()).map(|label| label.as_slice().to_vec());
    let unusable = |error| FindError::Unusable { name: name.to_string(), cause: format!("{error}") };
    let mut name = Name::from_labels(labels).map_err(unusable)?;
    name.set_fqdn(true);
    Ok(name)
}

/// None where the name is longer than a name can be, which the resolver refuses already.
pub(super) fn name_of(name: &Name) -> Option<DnsName> {
    let mut wire = Vec::new();
    for label in name.iter() {
        wire.push(u8::try_from(label.len()).ok()?);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    domain::base::Name::from_octets(wire).ok().map(|name| DnsName::from_wire(&name))
}
