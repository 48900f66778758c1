//! The DNS servers and search domains: given ones, or the system's, which are read again after the configuration
//! changed.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Resolver, TokioResolver};

use super::error::FindError;
use super::query_name::name_of;
use crate::limits::{QUESTION_TIMEOUT, RESOLVER_FILE_BYTES_MAX, SEARCH_DOMAINS_MAX, SERVERS_MAX};
use crate::name::DnsName;

/// The origin of the servers.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Given(Arc<Resolvers>),
    System(Arc<SystemResolvers>),
}

impl Source {
    /// The present servers.
    ///
    /// # Errors
    /// [`FindError::Configuration`] where the system's configuration cannot be read, or names no server.
    pub(super) fn now(&self) -> Result<Arc<Resolvers>, FindError> {
        match self {
            Self::Given(resolvers) => Ok(Arc::clone(resolvers)),
            Self::System(system) => system.now(),
        }
    }

    /// A number that differs after the system's configuration changed.
    pub(super) fn fingerprint(&self) -> u64 {
        let Self::System(system) = self else { return 0 };
        let mut hasher = DefaultHasher::new();
        system.text().map_err(|error| error.kind()).hash(&mut hasher);
        hasher.finish()
    }
}

/// The system's configuration. It is read by its path at each use, so a file that was rewritten, replaced or linked
/// to another one takes effect. A missing file is an error only when a query needs it.
#[derive(Debug)]
pub(super) struct SystemResolvers {
    file: PathBuf,
    /// The port of all its servers; the file cannot name one.
    port: u16,
    /// The text that was read last, with the servers and domains that it names.
    read: Mutex<Option<(Vec<u8>, Arc<Resolvers>)>>,
}

impl SystemResolvers {
    pub(super) fn at(file: PathBuf, port: u16) -> Self {
        Self { file, port, read: Mutex::default() }
    }

    fn text(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        File::open(&self.file)?.take(RESOLVER_FILE_BYTES_MAX).read_to_end(&mut text)?;
        Ok(text)
    }

    fn now(&self) -> Result<Arc<Resolvers>, FindError> {
        let unusable = |cause: String| FindError::Configuration { cause: format!("{}: {cause}", self.file.display()) };
        let text = self.text().map_err(|error| unusable(error.to_string()))?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, resolvers)) = read.as_ref().filter(|(before, _)| *before == text) {
            return Ok(Arc::clone(resolvers));
        }
        let (config, options) = parse_resolv_conf(&text).map_err(|error| unusable(error.to_string()))?;
        let listed = config.search().iter().chain(config.domain()).filter_map(name_of);
        let mut search: Vec<DnsName> = Vec::new();
        for domain in listed {
            if !domain.is_root() && !search.contains(&domain) {
                search.push(domain);
            }
        }
        let servers = config.name_servers().iter().cloned().map(|server| on_port(server, self.port)).collect();
        let resolvers =
            Arc::new(Resolvers::new(ResolverConfig::from_parts(None, Vec::new(), servers), options, search)?);
        *read = Some((text, Arc::clone(&resolvers)));
        Ok(resolvers)
    }
}

/// Servers and search domains of one configuration.
#[derive(Debug)]
pub(super) struct Resolvers {
    resolver: TokioResolver,
    /// One resolver for each server, where there are several. The common resolver skips a server that is silent, but
    /// returns the failure of a server that answers with one.
    each: Vec<TokioResolver>,
    /// The domains that are searched where the caller names none (R17).
    pub(super) search: Vec<DnsName>,
}

impl Resolvers {
    /// Uses only these servers, over UDP and TCP.
    pub(super) fn given(servers: &[SocketAddr], search: Vec<DnsName>) -> Result<Self, FindError> {
        if servers.is_empty() {
            return Err(FindError::Configuration { cause: "no DNS server is configured".to_owned() });
        }
        let servers = servers.iter().map(|server| on_port(NameServerConfig::udp_and_tcp(server.ip()), server.port()));
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

    /// Queries with the common resolver; where a server failed, queries each server in turn until one does not fail.
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
}

fn on_port(mut server: NameServerConfig, port: u16) -> NameServerConfig {
    server.connections.iter_mut().for_each(|connection| connection.port = port);
    server
}

/// Whether the error is a failure of one server, which another server may not have.
fn is_servers_failure(error: &NetError) -> bool {
    use ResponseCode::{NotImp, Refused, ServFail};
    matches!(error, NetError::Dns(DnsError::ResponseCode(ServFail | Refused | NotImp)))
}
