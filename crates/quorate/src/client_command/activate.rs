//! `quorate client activate`: one attempt, with a host or with the publisher.

use std::path::PathBuf;
use std::process::ExitCode;

use activation::channel::Channel;
use activation::id::{Cmid, ProductId};
use activation::trust::Trust;
use anyhow::{Context, anyhow};
use client::{ActivateError, Answered, Deadlines, Exchange, FoundBy, HostAddress, Hosts, Machine, StateFolder};

use super::direct::{self, Service};
use super::discover::Where;
use super::report::{Report, Text};
use super::trust::TrustFile;
use crate::admin::block_on;
use crate::output::{Failure, Outcome, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate client activate --host host.example.test --trust trust.toml --product server-standard-2
  quorate client activate --domain example.test --trust trust.toml --product server-standard-2
  quorate client activate --state DIR --trust trust.toml
  quorate client activate --state DIR --trust trust.toml --publisher activate.example.test:1691

With --state the product is that of the installed key (`quorate client install-key`), and the CMID stays the same.";

/// What `client activate` adds to the common exit codes.
pub(super) const EXIT_NOT_REACHED: u8 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Activate {
    /// The host: a name or an IP address, IPv6 in brackets; without a port it is 1688. Without it: the host that was set
    /// (`client set-host`), else the one that answered last, else those that DNS names.
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "publisher")]
    host: Option<HostAddress>,
    #[command(flatten)]
    place: Where,
    /// The publisher's activation service, where a direct key is installed.
    #[arg(long, value_name = "HOST:PORT", requires = "state")]
    publisher: Option<String>,
    /// Certificates in PEM of the authority that vouches for the publisher's service, where its own keys do not.
    #[arg(long, value_name = "FILE", requires = "publisher")]
    publisher_ca: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustFile,
    /// Where the machine keeps its CMID and its key; made at first use.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["product", "cmid"])]
    state: Option<PathBuf>,
    /// The product to activate, by its name in the catalog.
    #[arg(long, value_name = "NAME", required_unless_present = "state")]
    product: Option<String>,
    /// The machine's id, where there is no --state. Without it a random one is taken, which counts as one more machine
    /// each time.
    #[arg(long, value_name = "UUID")]
    cmid: Option<Cmid>,
}

impl Activate {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let trust = self.trust.read().map_err(Failure::usage)?;
        let Some(folder) = &self.state else {
            let cmid = self.cmid.map_or_else(client::random_cmid, Ok)?;
            return self.ask_host(&trust, (self.product.as_deref().unwrap_or_default(), cmid), None, output);
        };
        let mut state = StateFolder::open(folder)?;
        match state.channel().cloned() {
            None => Err(Failure::usage(anyhow!(
                "no key is installed in {}: quorate client install-key KEY --state DIR --trust FILE",
                folder.display()
            ))),
            Some(Channel::Volume { product, .. }) => {
                let cmid = state.cmid();
                self.ask_host(&trust, (product.as_str(), cmid), Some(&mut state), output)
            }
            Some(channel @ Channel::Direct { .. }) => {
                if self.host.is_some() || self.place.is_given() {
                    return Err(Failure::usage(anyhow!(
                        "a direct key is installed, and hosts know nothing of it: give --publisher HOST:PORT, or \
                         install the product's setup key"
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

    fn ask_host(
        &self,
        trust: &Trust,
        (product_name, cmid): (&str, Cmid),
        state: Option<&mut StateFolder>,
        output: &Output,
    ) -> Outcome {
        if self.publisher.is_some() {
            return Err(Failure::usage(anyhow!(
                "a setup key is installed: this machine asks hosts, not its publisher"
            )));
        }
        let product = self.trust.product(trust, product_name).map_err(Failure::usage)?;
        let Some(host) = &self.host else {
            return self.ask_found(trust, (product_name, product, cmid), state, output);
        };
        let request = client::request(trust.publisher, product, cmid, &Machine::this())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(client::activate(host, &request, trust, Deadlines::default()));
        // A name lookup may still hang in a thread of its own: what is known is known.
        runtime.shutdown_background();
        let report = match &result {
            Ok(answered) => Report::answered(&request, answered, FoundBy::Fixed),
            Err(error) => Report::failed(&request, host, error),
        };
        output.result(&report, Text { report: &report, product: product_name });
        Ok(exit_code(&result))
    }

    /// R16, R18: the host that was set, the one that answered last, or those that DNS names, in turn.
    fn ask_found(
        &self,
        trust: &Trust,
        (name, product, cmid): (&str, ProductId, Cmid),
        state: Option<&mut StateFolder>,
        output: &Output,
    ) -> Outcome {
        let (machine, lookup) = (Machine::this(), self.place.lookup());
        let mut hosts = state.as_ref().map_or_else(Hosts::default, |state| state.hosts());
        let request = || client::request(trust.publisher, product, cmid, &machine);
        let asked = block_on(hosts.ask(&lookup, request, trust, Deadlines::default()))?;
        if let Some(state) = state {
            state.keep_hosts(&hosts)?;
        }
        match asked {
            Ok(Exchange { answered, request, found_by, .. }) => {
                let report = Report::answered(&request, &answered, found_by);
                output.result(&report, Text { report: &report, product: name });
                Ok(exit_code(&Ok(answered)))
            }
            Err(error) => {
                let report = Report::not_found(cmid, &error);
                output.result(&report, Text { report: &report, product: name });
                let refused = error.tried().iter().any(|tried| is_reached(&tried.error));
                Ok(if refused { ExitCode::FAILURE } else { ExitCode::from(EXIT_NOT_REACHED) })
            }
        }
    }
}

fn is_reached(error: &ActivateError) -> bool {
    !matches!(error, ActivateError::NotReached { .. } | ActivateError::Protocol { .. })
}

fn exit_code(result: &Result<Answered, ActivateError>) -> ExitCode {
    match result {
        Ok(answered) if answered.answer.body.is_activated() => ExitCode::SUCCESS,
        Err(ActivateError::NotReached { .. } | ActivateError::Protocol { .. }) => ExitCode::from(EXIT_NOT_REACHED),
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}
