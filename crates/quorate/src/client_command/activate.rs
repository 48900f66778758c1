//! `quorate client activate`: one attempt, with a host or with the publisher.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use activation::channel::Channel;
use activation::id::Cmid;
use activation::trust::Trust;
use anyhow::{Context, anyhow};
use client::{ActivateError, AskError, Client, Deadlines, Exchange, HostAddress, Hosts, Machine, Options, StateFolder};

use super::direct::{self, Service};
use super::discover::DiscoveryArgs;
use super::report::{ActivateReport, ActivateText, EXIT_NOT_REACHED};
use super::state::check_is_made;
use super::trust::{TrustArg, TrustFile};
use crate::administration::block_on;
use crate::output::{CommandResult, Failure, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate client activate --host host.example.test --trust trust.toml --product server-standard-2
  quorate client activate --domain example.test --trust trust.toml --product server-standard-2
  quorate client activate --state DIR --trust trust.toml
  quorate client activate --state DIR --trust trust.toml --publisher activate.example.test:1691

With --state the product is that of the installed key (`quorate client install-key`), and the CMID stays the same.";

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Activate {
    /// The host: a name or an IP address, IPv6 in brackets; the default port is 1688. Without it: the configured host
    /// (`client set-host`), else the cached host, else the hosts that DNS names.
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "publisher")]
    host: Option<HostAddress>,
    #[command(flatten)]
    discovery: DiscoveryArgs,
    /// The publisher's activation service, where a direct key is installed.
    #[arg(long, value_name = "HOST:PORT", requires = "state")]
    publisher: Option<String>,
    /// Certificates in PEM of the authority that certifies the publisher's service, where it does not use the
    /// publisher's own keys.
    #[arg(long, value_name = "FILE", requires = "publisher")]
    publisher_ca: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArg,
    /// Folder in which the machine keeps its CMID and its key; `client install-key` makes it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["product", "cmid"])]
    state: Option<PathBuf>,
    /// The product to activate, by its name in the catalog.
    #[arg(long, value_name = "NAME", required_unless_present = "state")]
    product: Option<String>,
    /// The machine's CMID, where there is no --state. Without it a random CMID is used, which counts as one more
    /// machine each time.
    #[arg(long, value_name = "UUID")]
    cmid: Option<Cmid>,
}

impl Activate {
    /// The command with `--state DIR` alone.
    pub(crate) fn as_set_up(state: PathBuf) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    pub(crate) fn run(self, output: &Output) -> CommandResult {
        if let Some(folder) = &self.state {
            check_is_made(folder)?;
        }
        let file = self.trust.file(self.state.as_deref()).map_err(Failure::usage)?;
        let trust = file.read().map_err(Failure::usage)?;
        let Some(folder) = &self.state else {
            let cmid = self.cmid.map_or_else(client::random_cmid, Ok)?;
            return self.ask_host(&file, &trust, cmid, output);
        };
        let state = StateFolder::open(folder)?;
        match state.channel().cloned() {
            None => Err(Failure::usage(anyhow!(
                "no key is installed in {}: install one with `quorate client install-key KEY --state DIR --trust FILE`",
                folder.display()
            ))),
            Some(Channel::Volume { product, .. }) => {
                drop(state);
                file.product(&trust, product.as_str()).map_err(Failure::usage)?;
                self.ask_as_set_up(folder, product.as_str(), trust, output)
            }
            Some(channel @ Channel::Direct { .. }) => {
                if self.host.is_some() || self.discovery.is_given() {
                    return Err(Failure::usage(anyhow!(
                        "cannot activate with a host: a direct key is installed, which only the publisher accepts; \
                         give --publisher HOST:PORT, or install the product's setup key"
                    )));
                }
                let service = self.service()?;
                direct::activate(state, channel, &trust, service.as_ref(), output)
            }
        }
    }

    fn service(&self) -> Result<Option<Service>, Failure> {
        let Some(address) = self.publisher.clone() else { return Ok(None) };
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let authorities = self.publisher_ca.as_ref().map(read).transpose().map_err(Failure::usage)?;
        Ok(Some(Service { address, authorities }))
    }

    /// R20: one attempt of the machine whose state is kept. Tries the configured host, else the cached host, else the
    /// hosts that DNS names, in turn.
    fn ask_as_set_up(&self, folder: &Path, product: &str, trust: Trust, output: &Output) -> CommandResult {
        if self.publisher.is_some() {
            return Err(Failure::usage(anyhow!(
                "cannot activate with the publisher: a setup key is installed, which only hosts accept; omit \
                 --publisher"
            )));
        }
        let host = self.host.as_ref().map(|host| host.to_string().parse()).transpose().map_err(Failure::usage)?;
        let mut client =
            Client::open(folder, trust, Options { lookup: self.discovery.lookup(), host, ..Options::default() })?;
        let attempt = block_on(client.activate())??;
        Ok(show(&attempt.result, attempt.status.cmid, product, output))
    }

    /// One attempt for a machine without a state folder.
    fn ask_host(&self, file: &TrustFile, trust: &Trust, cmid: Cmid, output: &Output) -> CommandResult {
        let name = self.product.as_deref().unwrap_or_default();
        let product = file.product(trust, name).map_err(Failure::usage)?;
        let (machine, lookup) = (Machine::this(), self.discovery.lookup());
        let fixed = self.host.as_ref().map(|host| host.to_string().parse()).transpose().map_err(Failure::usage)?;
        let request = || client::request(trust.publisher, product, cmid, &machine);
        let mut hosts = Hosts::new(fixed, None);
        let asked = block_on(hosts.ask(&lookup, request, trust, Deadlines::default()))?;
        Ok(show(&asked, cmid, name, output))
    }
}

fn show(asked: &Result<Exchange, AskError>, cmid: Cmid, product: &str, output: &Output) -> ExitCode {
    let report = match asked {
        Ok(exchange) => ActivateReport::answered(exchange),
        Err(error) => ActivateReport::not_found(cmid, error),
    };
    output.result(&report, ActivateText { report: &report, product });
    match asked {
        Ok(exchange) if exchange.answered.answer.body.is_activated() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) if error.tried().iter().any(|tried| is_reached(&tried.error)) => ExitCode::FAILURE,
        Err(_) => ExitCode::from(EXIT_NOT_REACHED),
    }
}

fn is_reached(error: &ActivateError) -> bool {
    !matches!(error, ActivateError::NotReached { .. } | ActivateError::Protocol { .. })
}
