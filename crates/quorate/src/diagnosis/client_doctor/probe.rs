//! What a client machine finds out about its way to a host: DNS, names, hosts, and its own state.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use client::{
    ActivateError, ClientStatus, Deadlines, FindError, FoundBy, Lookup, Options, Session, limits::PORT_DEFAULT, time_ms,
};
use discovery::{Finder, FixedHost, Srv};
use futures::future::join_all;

use crate::{
    administration::block_on,
    client_command::{discover::DiscoveryArgs, report::with_causes, state::ClientStateArgs, trust::TrustArg},
    output::Failure,
};

/// What is looked at.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --client")]
pub(crate) struct Args {
    #[command(flatten)]
    discovery: DiscoveryArgs,
    /// Look at this host only, and leave DNS alone.
    #[arg(long, value_name = "HOST[:PORT]")]
    host: Option<FixedHost>,
    /// Where the machine keeps its state.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArg,
}

/// What was found.
pub(crate) struct Found {
    /// The one host that is asked, because it was named or set.
    pub(super) fixed: Option<String>,
    /// What DNS said of hosts; nothing where it was not asked.
    pub(super) records: Option<Result<usize, Unnamed>>,
    pub(super) hosts: Vec<ProbedHost>,
    pub(super) machine: MachineState,
    /// This machine's clock.
    pub(super) now_ms: u64,
}

/// DNS names no host.
pub(super) struct Unnamed {
    pub(super) why: String,
    pub(super) is_absent: bool,
    pub(super) advice: &'static str,
}

/// A host, and what became of it.
pub(super) struct ProbedHost {
    pub(super) target: String,
    pub(super) port: u16,
    pub(super) reply: HostReply,
}

/// What became of a connection to a host.
pub(super) enum HostReply {
    /// It takes calls of activation.
    Answers,
    /// Its name leads nowhere.
    NoAddress(String),
    /// Nothing takes the connection, or keeps it.
    Silent(String),
    /// Something takes it that does not speak as a host does.
    Other(String, &'static str),
}

/// How the machine stands.
pub(super) enum MachineState {
    /// Nobody asked.
    Unasked,
    /// Nothing was ever set up there.
    Absent(PathBuf),
    Unreadable(PathBuf, String),
    Known(PathBuf, Box<ClientStatus>),
}

impl Args {
    /// Whether anything was said that is of a client machine.
    pub(crate) fn is_given(&self) -> bool {
        self.discovery.is_given() || self.host.is_some() || self.state.is_some()
    }

    /// Looks.
    pub(crate) fn look(self) -> Result<Found, Failure> {
        let lookup = self.discovery.lookup();
        let machine = machine(self.state, self.trust);
        let fixed = match (self.host, &machine) {
            (Some(host), _) => Some(host),
            (None, MachineState::Known(_, status)) if status.found_by == FoundBy::Fixed => {
                status.host.as_deref().and_then(|host| host.parse().ok())
            }
            (None, _) => None,
        };
        let (records, hosts) = block_on(async {
            match &fixed {
                Some(fixed) => (None, vec![named(&lookup, fixed).await]),
                None => match listed(&lookup).await {
                    Ok(hosts) => (Some(Ok(hosts.len())), hosts),
                    Err(error) => (Some(Err(Unnamed::of(&error))), Vec::new()),
                },
            }
        })?;
        let fixed = fixed.map(|fixed| fixed.to_string());
        Ok(Found { fixed, records, hosts, machine, now_ms: time_ms() })
    }
}

impl Unnamed {
    fn of(error: &FindError) -> Self {
        let is_absent = matches!(error, FindError::NoRecord { .. });
        Self { why: format!("{error} (0x{:08X})", error.code()), is_absent, advice: error.advice() }
    }
}

fn machine(state: Option<PathBuf>, trust: TrustArg) -> MachineState {
    let Some(state) = state else { return MachineState::Unasked };
    // To look makes nothing.
    if !state.join("client.toml").exists() {
        return MachineState::Absent(state);
    }
    let machine = ClientStateArgs { state, trust };
    let status = machine.without_publisher().and_then(|status| match status {
        Some(status) => Ok(status),
        None => Ok(machine.open(Options::default())?.status()?),
    });
    match status {
        Ok(status) => MachineState::Known(machine.state, Box::new(status)),
        Err(failure) => MachineState::Unreadable(machine.state, failure.reason()),
    }
}

/// The records of the first domain that has any.
async fn records(finder: &Finder, lookup: &Lookup) -> Result<Vec<Srv>, FindError> {
    let domains = if lookup.domains.is_empty() { finder.search() } else { &lookup.domains };
    if domains.is_empty() {
        let cause = "no domain is named, and the search list is empty".to_owned();
        return Err(FindError::Configuration { cause });
    }
    let (mut names, mut trouble) = (Vec::new(), None);
    for domain in domains {
        let name = domain.below(&lookup.service);
        let name = name.map_err(|error| FindError::Configuration { cause: error.to_string() })?;
        match finder.srv(&name).await {
            Ok(mut records) => {
                // RFC 2782: the root as target says that the service is not offered here.
                records.retain(|record| !record.srv.target.is_root());
                if !records.is_empty() {
                    return Ok(records.into_iter().map(|record| record.srv).collect());
                }
            }
            Err(FindError::NoRecord { .. }) => {}
            Err(error) => trouble = trouble.or(Some(error)),
        }
        names.push(name.to_string());
    }
    Err(trouble.unwrap_or(FindError::NoRecord { names }))
}

/// Every host that DNS names, and whether it answers.
async fn listed(lookup: &Lookup) -> Result<Vec<ProbedHost>, FindError> {
    let finder = finder(lookup)?;
    let records = records(&finder, lookup).await?;
    let tried = records.into_iter().map(async |srv| {
        let reply = match finder.addresses(&srv.target).await {
            Ok(addresses) => called(&addresses, srv.port).await,
            Err(error) => HostReply::NoAddress(error.to_string()),
        };
        ProbedHost { target: srv.target.to_string(), port: srv.port, reply }
    });
    Ok(join_all(tried).await)
}

/// The host that was named or set.
async fn named(lookup: &Lookup, fixed: &FixedHost) -> ProbedHost {
    let port = fixed.port.unwrap_or(PORT_DEFAULT);
    // An address needs no DNS.
    let found = match fixed.address() {
        Some(address) => Ok((fixed.host.clone(), vec![address])),
        None => match finder(lookup) {
            Ok(finder) => finder.resolve(fixed, PORT_DEFAULT).await.map(|host| (host.target, host.addresses)),
            Err(error) => Err(error),
        },
    };
    match found {
        Ok((target, addresses)) => ProbedHost { target, port, reply: called(&addresses, port).await },
        Err(error) => ProbedHost { target: fixed.host.clone(), port, reply: HostReply::NoAddress(error.to_string()) },
    }
}

fn finder(lookup: &Lookup) -> Result<Finder, FindError> {
    if lookup.servers.is_empty() { Finder::system() } else { Finder::with_servers(&lookup.servers, Vec::new()) }
}

/// Connects and binds as a client does, and asks for nothing.
async fn called(addresses: &[IpAddr], port: u16) -> HostReply {
    let mut reply = HostReply::Silent("it has no address".to_owned());
    for address in addresses {
        match Session::connect(&SocketAddr::from((*address, port)).into(), Deadlines::default()).await {
            Ok(_) => return HostReply::Answers,
            Err(ActivateError::NotReached { reason, .. }) => {
                reply = HostReply::Silent(with_causes(&reason));
            }
            Err(error) => reply = HostReply::Other(with_causes(&error), error.advice()),
        }
    }
    reply
}
