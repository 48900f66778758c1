//! Hosts found by DNS, asked one after the other (R16, R17).

use activation::message::Request;
use activation::status::Status;
use activation::trust::Trust;
use discovery::{DnsName, FindError, Finder, Host, connect};
use rand::SeedableRng;
use rand::rngs::StdRng;
use thiserror::Error;

use crate::{ActivateError, Answered, Deadlines, HostAddress, NoEntropy, NotReached, Session};

/// No host that DNS names gave an answer that counts.
#[derive(Debug, Error)]
pub enum DiscoverError {
    #[error(transparent)]
    Find(#[from] FindError),
    /// Every host that was tried, with its reason; at least one.
    #[error("none of the {} hosts that DNS names answered", .0.len())]
    NoneAnswered(Vec<(Host, ActivateError)>),
    /// The host spoke about this machine: the others would say the same.
    #[error(transparent)]
    Refused(ActivateError),
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

impl DiscoverError {
    /// The code that administrators know.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Find(error) => Status(error.code()),
            Self::Refused(error) => error.status(),
            Self::NoneAnswered(tried) => match tried.as_slice() {
                // One host alone speaks for itself.
                [(_, error)] => error.status(),
                _ => Status::NO_HOST_REACHED,
            },
            Self::NoEntropy(_) => Status::NO_HOST_REACHED,
        }
    }
}

/// The hosts of a service in the first of `domains` that has any, or without one in the system's search list, in the
/// order in which they are to be tried: by priority, by chance and weight within one (RFC 2782).
pub async fn hosts(finder: &Finder, service: &str, domains: &[DnsName]) -> Result<Vec<Host>, DiscoverError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(NoEntropy::from)?;
    let mut random = StdRng::from_seed(seed);
    if domains.is_empty() {
        return Ok(finder.find(service, None, &mut random).await?);
    }
    let mut missing = None;
    for domain in domains {
        match finder.find(service, Some(domain), &mut random).await {
            Ok(hosts) => return Ok(hosts),
            Err(error) => missing = missing.or(Some(error)),
        }
    }
    Err(missing.unwrap_or_else(|| FindError::NoRecord { names: Vec::new() }).into())
}

/// Asks the hosts in turn until one gives an answer that counts, below the threshold or not. One that is silent, does
/// not speak the interface, refuses, or answers for another publisher is left behind; each gets a request of its own.
pub async fn activate_in_turn(
    hosts: Vec<Host>,
    mut request: impl FnMut() -> Result<Request, NoEntropy>,
    trust: &Trust,
    deadlines: Deadlines,
) -> Result<(Answered, Host), DiscoverError> {
    let mut tried = Vec::new();
    for host in hosts {
        match ask(&host, &request()?, trust, deadlines).await {
            Ok(answered) => return Ok((answered, host)),
            Err(error @ ActivateError::Refused { status: Status::CLOCK_SKEW, .. }) => {
                return Err(DiscoverError::Refused(error));
            }
            Err(error) => tried.push((host, error)),
        }
    }
    Err(DiscoverError::NoneAnswered(tried))
}

async fn ask(host: &Host, request: &Request, trust: &Trust, deadlines: Deadlines) -> Result<Answered, ActivateError> {
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

fn address_of(host: &Host) -> Option<HostAddress> {
    format!("{}:{}", host.target.trim_end_matches('.'), host.port).parse().ok()
}
