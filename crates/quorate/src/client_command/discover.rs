//! `quorate client discover`: the hosts that DNS names, as a client would try them (R16, R17).

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use anyhow::anyhow;
use client::{AskedName, Deadlines, FindError, Lookup, LookupError, NameAnswer};
use discovery::{Desired, DnsName, connect};
use futures::future::join_all;
use serde_json::{Value, json};

use super::report::EXIT_NOT_REACHED;
use crate::administration::block_on;
use crate::output::{CommandResult, Failure, Output, table};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate client discover
  quorate client discover --domain example.com --server 192.0.2.53:53

Exit code 0: a host can be reached. 1: none can. 3: DNS names none (0x8007232B), or does not answer.";

/// How hosts are looked up in DNS.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DiscoveryArgs {
    /// Look up hosts in this domain; may be repeated, and the order is kept. Default: the system's search list.
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<DnsName>,
    /// Query this DNS server instead of the system's.
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: Vec<SocketAddr>,
    /// Service and protocol of the SRV records.
    #[arg(long, value_name = "NAME", default_value = Desired::SERVICE)]
    service: String,
}

impl Default for DiscoveryArgs {
    /// Uses the system's search list and DNS servers.
    fn default() -> Self {
        Self { domain: Vec::new(), server: Vec::new(), service: Desired::SERVICE.to_owned() }
    }
}

impl DiscoveryArgs {
    pub(crate) fn lookup(&self) -> Lookup {
        Lookup { servers: self.server.clone(), domains: self.domain.clone(), service: self.service.clone() }
    }

    pub(crate) fn is_given(&self) -> bool {
        !self.domain.is_empty() || !self.server.is_empty()
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Discover {
    #[command(flatten)]
    discovery: DiscoveryArgs,
}

impl Discover {
    pub(super) fn run(&self, output: &Output) -> CommandResult {
        let deadline = Deadlines::default().connect;
        let (asked, looked) = block_on(async {
            let search = match self.discovery.lookup().search().await {
                Ok(search) => search,
                Err(error) => return (Vec::new(), Err(error)),
            };
            let hosts = match search.result {
                Ok(hosts) => hosts,
                Err(error) => return (search.asked, Err(error.into())),
            };
            let probes = hosts.into_iter().map(|host| async move {
                let reached = connect(&host.sockets(), deadline).await.ok().and_then(|stream| stream.peer_addr().ok());
                (host, reached)
            });
            (search.asked, Ok(join_all(probes).await))
        })?;
        let hosts = match looked {
            Ok(hosts) => hosts,
            Err(error) => return not_found(&error, &asked, output),
        };
        let mut rows = table(["target", "address", "port", "priority", "weight", "reachable"]);
        let mut shown = Vec::new();
        for (host, reached) in &hosts {
            let address = reached.map(|peer| peer.ip()).or_else(|| host.addresses.first().copied());
            let address = address.map(|address| address.to_string()).unwrap_or_default();
            // A name is shown with its final dot; an address has none.
            let target = match host.target.parse::<IpAddr>() {
                Ok(address) => address.to_string(),
                Err(_) => host.target.trim_end_matches('.').to_owned() + ".",
            };
            rows.add_row([
                target.clone(),
                address.clone(),
                host.port.to_string(),
                host.priority.to_string(),
                host.weight.to_string(),
                if reached.is_some() { "yes" } else { "no" }.into(),
            ]);
            shown.push(json!({
                "target": target, "address": address, "port": host.port, "priority": host.priority,
                "weight": host.weight, "reachable": reached.is_some(),
            }));
        }
        let said = asked_text(&asked);
        output.result(&json!({ "hosts": shown, "asked": asked_json(&asked) }), format_args!("{said}{rows}"));
        let any = hosts.iter().any(|(_, reached)| reached.is_some());
        Ok(if any { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// One line for each name that was looked up, with its answer.
fn asked_text(asked: &[AskedName]) -> String {
    asked.iter().map(|asked| format!("{}: {}\n", asked.name, asked.answer)).collect()
}

fn asked_json(asked: &[AskedName]) -> Vec<Value> {
    let entry = |asked: &AskedName| {
        let (hosts, status) = match &asked.answer {
            NameAnswer::Hosts(count) => (*count, 0),
            NameAnswer::Nothing(error) => (0, error.code()),
        };
        json!({
            "name": asked.name, "answer": asked.answer.to_string(), "hosts": hosts,
            "status": format!("0x{status:08X}"),
        })
    };
    asked.iter().map(entry).collect()
}

/// The result where DNS names no host.
fn not_found(error: &LookupError, asked: &[AskedName], output: &Output) -> CommandResult {
    if let LookupError::Find(error @ FindError::Configuration { .. }) = error {
        return Err(Failure::usage(anyhow!("{error}: give --domain or --server")));
    }
    let (status, advice) = (error.status(), error.advice());
    let said = asked_text(asked);
    output.result(
        &json!({
            "hosts": [], "status": status.to_string(), "words": status.words(), "advice": advice,
            "error": error.to_string(), "asked": asked_json(asked),
        }),
        format_args!("{said}No host was found in DNS: {error} ({status})\n  {advice}"),
    );
    Ok(ExitCode::from(EXIT_NOT_REACHED))
}
