//! The choice of a host by a client (R16, R18): the fixed host if one is set, otherwise the host that answered last,
//! otherwise the hosts from DNS, one after the other.
//!
//! Invariant: never queries DNS for hosts while a fixed host is set, or as long as the host that answered last answers.

use std::net::SocketAddr;

use activation::hresult;
use activation::message::Request;
use activation::status::Status;
use activation::trust::Trust;
use discovery::{Desired, DnsName, FindError, Finder, FixedHost, FoundHost, NextStep, Preferred, Search, connect};
use rand::SeedableRng;
use rand::rngs::StdRng;
use thiserror::Error;

use crate::address::HostAddress;
use crate::error::{ActivateError, NotReached};
use crate::limits::{Deadlines, PORT_DEFAULT};
use crate::request::NoEntropy;
use crate::session::{ReceivedAnswer, Session};

/// How hosts are discovered in DNS (R17).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The DNS servers, queried in this order; empty: the system's configuration.
    pub servers: Vec<SocketAddr>,
    /// The domains, searched in this order; empty: the system's search list.
    pub domains: Vec<DnsName>,
    /// Service and protocol of the SRV records, `_vlmcs._tcp`.
    pub service: String,
}

impl Default for Lookup {
    fn default() -> Self {
        Self { servers: Vec::new(), domains: Vec::new(), service: Desired::SERVICE.to_owned() }
    }
}

impl Lookup {
    /// The hosts of the first domain that has any usable ones, in the order in which the client tries them: by
    /// priority, and at random by weight within one priority (RFC 2782).
    ///
    /// # Errors
    /// [`LookupError`] where no domain has a host.
    pub async fn hosts(&self) -> Result<Vec<FoundHost>, LookupError> {
        Ok(self.search().await?.result?)
    }

    /// Searches as [`Self::hosts`] does, and also returns every name that was queried and its result.
    ///
    /// # Errors
    /// [`LookupError`] where no query could be sent.
    pub async fn search(&self) -> Result<Search, LookupError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(NoEntropy::from)?;
        let (finder, mut random) = (self.finder()?, StdRng::from_seed(seed));
        let domains = if self.domains.is_empty() { finder.search()? } else { self.domains.clone() };
        Ok(finder.search_in(&self.service, &domains, &mut random).await)
    }

    async fn fixed(&self, fixed: &FixedHost) -> Result<FoundHost, LookupError> {
        if let Some(address) = fixed.address() {
            let port = fixed.port.unwrap_or(PORT_DEFAULT);
            return Ok(FoundHost {
                target: fixed.host.clone(),
                port,
                priority: 0,
                weight: 0,
                addresses: vec![address],
            });
        }
        Ok(self.finder()?.resolve(fixed, PORT_DEFAULT).await?)
    }

    /// Built only when it is needed: a machine whose fixed host is an IP address needs no DNS.
    fn finder(&self) -> Result<Finder, FindError> {
        if self.servers.is_empty() { Ok(Finder::system()) } else { Finder::with_servers(&self.servers, Vec::new()) }
    }
}

/// DNS returned no host.
#[derive(Debug, Error)]
pub enum LookupError {
    #[error(transparent)]
    Find(#[from] FindError),
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

impl LookupError {
    /// The HRESULT of the error.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Find(error) => Status(error.code()),
            Self::NoEntropy(_) => hresult::NO_ENTROPY,
        }
    }

    /// The next step, as a sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Find(error) => error.advice(),
            Self::NoEntropy(_) => "Try again; if it fails again, see the kernel log of this machine.",
        }
    }
}

/// How a host was discovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// An administrator or a program set the host.
    Fixed,
    /// The host answered the last time.
    Cache,
    /// An SRV record named the host.
    Srv,
}

impl FoundBy {
    /// The name that commands print.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Cache => "cache",
            Self::Srv => "srv",
        }
    }
}

/// A verified answer, at or below the threshold, with its request.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub answered: ReceivedAnswer,
    /// The request to which this is the answer.
    pub request: Request,
    pub host: FoundHost,
    pub found_by: FoundBy,
}

/// A host that gave no valid answer.
#[derive(Debug)]
pub struct Tried {
    pub host: FoundHost,
    pub found_by: FoundBy,
    pub error: ActivateError,
}

/// No host gave a valid answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// No further host was found; the hosts that were already known had failed before.
    #[error("{error}")]
    Lookup {
        #[source]
        error: LookupError,
        tried: Vec<Tried>,
    },
    /// Every host that was tried, with the reason of its failure; at least one.
    #[error("none of {} hosts gave a valid answer", .0.len())]
    NoneAnswered(Vec<Tried>),
}

impl AskError {
    /// The HRESULT of the error.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Lookup { error, .. } => error.status(),
            Self::NoneAnswered(tried) => {
                // The status that all hosts share; otherwise only that no host gave a valid answer.
                let mut all = tried.iter().map(|tried| tried.error.status());
                let first = all.next().unwrap_or(Status::NO_HOST_REACHED);
                if all.all(|status| status == first) { first } else { Status::NO_HOST_REACHED }
            }
        }
    }

    /// The next step, as a sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Lookup { error, .. } => error.advice(),
            Self::NoneAnswered(tried) => match tried.as_slice() {
                [tried] => tried.error.advice(),
                _ => self.status().advice(),
            },
        }
    }

    /// Every host that was tried.
    #[must_use]
    pub fn tried(&self) -> &[Tried] {
        match self {
            Self::Lookup { tried, .. } | Self::NoneAnswered(tried) => tried,
        }
    }
}

/// The hosts of one client, kept across attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    fixed: Option<FixedHost>,
    preferred: Preferred,
}

impl Hosts {
    /// Hosts from the stored state: the fixed host, and the host that answered last.
    #[must_use]
    pub fn new(fixed: Option<FixedHost>, cached: Option<FoundHost>) -> Self {
        Self { fixed, preferred: Preferred::new(cached) }
    }

    /// The host that answered last. Store it across restarts.
    #[must_use]
    pub fn cached(&self) -> Option<&FoundHost> {
        self.preferred.preferred()
    }

    /// Makes one attempt: asks the hosts in turn until one gives a valid answer. A host that is silent, does not
    /// speak the interface, refuses, or answers for another publisher is skipped: none of that is signed, so an
    /// attacker on the network path may have sent it. Each host gets a new request.
    pub async fn ask(
        &mut self,
        lookup: &Lookup,
        mut request: impl FnMut() -> Result<Request, NoEntropy>,
        trust: &Trust,
        deadlines: Deadlines,
    ) -> Result<Exchange, AskError> {
        let mut tried = Vec::new();
        let first = if self.fixed.is_some() { FoundBy::Fixed } else { FoundBy::Cache };
        if let Some(fixed) = &self.fixed {
            match lookup.fixed(fixed).await {
                Ok(host) => self.preferred.fix(host),
                Err(error) => return Err(AskError::Lookup { error, tried }),
            }
        }
        let mut found_by = first;
        loop {
            let host = match self.preferred.next_step() {
                NextStep::Try(host) => host,
                NextStep::AskDns => {
                    found_by = FoundBy::Srv;
                    let found = lookup.hosts().await;
                    self.preferred.found(found.as_ref().map_or_else(|_| Vec::new(), Clone::clone));
                    match found {
                        Ok(_) => continue,
                        Err(error) => {
                            // Ends the round.
                            let _exhausted = self.preferred.next_step();
                            return Err(AskError::Lookup { error, tried });
                        }
                    }
                }
                NextStep::Exhausted => return Err(AskError::NoneAnswered(tried)),
            };
            let request = match request() {
                Ok(request) => request,
                Err(error) => return Err(AskError::Lookup { error: error.into(), tried }),
            };
            match exchange(&host, &request, trust, deadlines).await {
                Ok(answered) => {
                    self.preferred.answered(&host);
                    return Ok(Exchange { answered, request, host, found_by });
                }
                Err(error) => {
                    self.preferred.failed(&host);
                    tried.push(Tried { host, found_by, error });
                }
            }
        }
    }
}

async fn exchange(
    host: &FoundHost,
    request: &Request,
    trust: &Trust,
    deadlines: Deadlines,
) -> Result<ReceivedAnswer, ActivateError> {
    let connected = connect(&host.sockets(), deadlines.connect).await.map_err(std::io::Error::other);
    let peer = connected.and_then(|stream| Ok((stream.peer_addr()?, stream)));
    let (peer, stream) = peer.map_err(|error| {
        let first = host.sockets().first().copied();
        let address = first.unwrap_or_else(|| ([0, 0, 0, 0], host.port).into());
        let named = address_of(host).unwrap_or_else(|| address.into());
        ActivateError::NotReached { host: named, reason: NotReached::Connect { address, error } }
    })?;
    let mut session = Session::over(stream, peer, deadlines).await?;
    session.exchange(request, trust).await
}

fn address_of(host: &FoundHost) -> Option<HostAddress> {
    HostAddress::of_target(&host.target, host.port)
}
