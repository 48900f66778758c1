//! Observes what a client machine needs to reach a host: DNS, names, hosts, and the machine's own state.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use admin::client::{ClientObservation, HostProbe, LicenseObservation, LookupProblem, MachineObservation, ProbeResult};
use client::{
    ActivateError, ClientStatus, Deadlines, FindError, FoundBy, Lookup, Options, Session, limits::PORT_DEFAULT, time_ms,
};
use discovery::{DnsName, Finder, FixedHost, Srv};
use futures::future::join_all;

use crate::{
    administration::block_on,
    client_command::{discover::DiscoveryArgs, report::with_causes, state::ClientStateArgs, trust::TrustArg},
    output::Failure,
};

/// Which host and which state the observation is about.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --client")]
pub(crate) struct Args {
    #[command(flatten)]
    discovery: DiscoveryArgs,
    /// Check this host only, without DNS lookups.
    #[arg(long, value_name = "HOST[:PORT]")]
    host: Option<FixedHost>,
    /// Folder in which the machine keeps its state.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArg,
}

impl Args {
    /// Whether any argument was given that applies to a client machine only.
    pub(crate) fn is_given(&self) -> bool {
        self.discovery.is_given() || self.host.is_some() || self.state.is_some()
    }

    /// Observes this machine; queries DNS and connects to the hosts.
    pub(crate) fn observe(self) -> Result<ClientObservation, Failure> {
        let lookup = self.discovery.lookup();
        let (machine, host_set) = machine(self.state, self.trust);
        let fixed = self.host.or(host_set);
        let (named_hosts, hosts) = block_on(async {
            match &fixed {
                Some(fixed) => (None, vec![named(&lookup, fixed).await]),
                None => match listed(&lookup).await {
                    Ok(hosts) => (Some(Ok(hosts.len())), hosts),
                    Err(error) => (Some(Err(lookup_problem(&error))), Vec::new()),
                },
            }
        })?;
        let fixed_host = fixed.map(|fixed| fixed.to_string());
        Ok(ClientObservation { fixed_host, named_hosts, hosts, machine, now_ms: time_ms() })
    }
}

fn lookup_problem(error: &FindError) -> LookupProblem {
    let is_absent = matches!(error, FindError::NoRecord { .. });
    LookupProblem { cause: format!("{error} (0x{:08X})", error.code()), is_absent, advice: error.advice() }
}

/// The observation of the state folder, and the host that is set there. Writes nothing.
fn machine(state: Option<PathBuf>, trust: TrustArg) -> (MachineObservation, Option<FixedHost>) {
    let Some(state) = state else { return (MachineObservation::NotRequested, None) };
    if !state.join("client.toml").exists() {
        return (MachineObservation::Absent(state), None);
    }
    let machine = ClientStateArgs { state, trust };
    let status = machine.without_publisher().and_then(|status| match status {
        Some(status) => Ok(status),
        None => Ok(machine.open(Options::default())?.status()?),
    });
    match status {
        Ok(status) => (MachineObservation::Known(machine.state, license(&status)), host_set(&status)),
        Err(failure) => (MachineObservation::Unreadable(machine.state, failure.reason()), None),
    }
}

fn license(status: &ClientStatus) -> LicenseObservation {
    LicenseObservation {
        state: status.standing.state,
        minutes_left: status.standing.minutes_left,
        last_status: status.standing.last_status,
        licensed_ms: status.licensed_ms,
    }
}

fn host_set(status: &ClientStatus) -> Option<FixedHost> {
    let host = status.host.as_deref().filter(|_| status.found_by == FoundBy::Fixed)?;
    host.parse().ok()
}

/// Probes every host in the first domain in which a host has an address. Where no host has an address in any domain,
/// these are the hosts of the first domain with records.
async fn listed(lookup: &Lookup) -> Result<Vec<HostProbe>, FindError> {
    let finder = finder(lookup)?;
    let domains = if lookup.domains.is_empty() { finder.search()? } else { lookup.domains.clone() };
    if domains.is_empty() {
        let cause = "no domain was given, and the search list is empty".to_owned();
        return Err(FindError::Configuration { cause });
    }
    let (mut names, mut trouble, mut without_address) = (Vec::new(), None, None);
    for domain in &domains {
        let name = domain.below(&lookup.service);
        let name = name.map_err(|error| FindError::Configuration { cause: error.to_string() })?;
        match records(&finder, &name).await {
            Ok(records) => {
                let probes = join_all(records.into_iter().map(|srv| probe_host(&finder, srv))).await;
                if probes.iter().any(|probe| !matches!(probe.result, ProbeResult::NoAddress(_))) {
                    return Ok(probes);
                }
                without_address = without_address.or(Some(probes));
            }
            Err(FindError::NoRecord { .. }) => {}
            Err(error) => trouble = trouble.or(Some(error)),
        }
        names.push(name.to_string());
    }
    without_address.ok_or_else(|| trouble.unwrap_or(FindError::NoRecord { names }))
}

/// The SRV records at a name; an error where there are none.
async fn records(finder: &Finder, name: &DnsName) -> Result<Vec<Srv>, FindError> {
    let mut records = finder.srv(name).await?;
    // RFC 2782: a target of `.` (the root) means that the service is not offered in this domain.
    records.retain(|record| !record.srv.target.is_root());
    if records.is_empty() {
        return Err(FindError::NoRecord { names: vec![name.to_string()] });
    }
    Ok(records.into_iter().map(|record| record.srv).collect())
}

async fn probe_host(finder: &Finder, srv: Srv) -> HostProbe {
    let result = match finder.addresses(&srv.target).await {
        Ok(addresses) => probe(&addresses, srv.port).await,
        Err(error) => ProbeResult::NoAddress(error.to_string()),
    };
    HostProbe { target: srv.target.to_string(), port: srv.port, result }
}

/// Probes the host that was given on the command line or set in the state.
async fn named(lookup: &Lookup, fixed: &FixedHost) -> HostProbe {
    let port = fixed.port.unwrap_or(PORT_DEFAULT);
    // An IP address needs no DNS lookup.
    let found = match fixed.address() {
        Some(address) => Ok((fixed.host.clone(), vec![address])),
        None => match finder(lookup) {
            Ok(finder) => finder.resolve(fixed, PORT_DEFAULT).await.map(|host| (host.target, host.addresses)),
            Err(error) => Err(error),
        },
    };
    match found {
        Ok((target, addresses)) => HostProbe { target, port, result: probe(&addresses, port).await },
        Err(error) => HostProbe { target: fixed.host.clone(), port, result: ProbeResult::NoAddress(error.to_string()) },
    }
}

fn finder(lookup: &Lookup) -> Result<Finder, FindError> {
    if lookup.servers.is_empty() { Ok(Finder::system()) } else { Finder::with_servers(&lookup.servers, Vec::new()) }
}

/// Connects and binds as a client does, without sending an activation request.
async fn probe(addresses: &[IpAddr], port: u16) -> ProbeResult {
    let mut result = ProbeResult::NoConnection("the name has no address".to_owned());
    for address in addresses {
        match Session::connect(&SocketAddr::from((*address, port)).into(), Deadlines::default()).await {
            Ok(_) => return ProbeResult::Answers,
            Err(ActivateError::NotReached { reason, .. }) => {
                result = ProbeResult::NoConnection(with_causes(&reason));
            }
            Err(error) => {
                result = ProbeResult::NotAHost { cause: with_causes(&error), advice: error.advice() };
            }
        }
    }
    result
}
