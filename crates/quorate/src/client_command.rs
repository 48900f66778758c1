//! `quorate client ...`: what a client machine does, by hand.

use std::fmt::{self, Write};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use activation::catalog::OpenedCatalog;
use activation::id::{Cmid, ProductId};
use activation::limits::TRUST_TEXT_BYTES_MAX;
use activation::message::Request;
use activation::trust::Trust;
use anyhow::{Context, anyhow, bail};
use client::{ActivateError, Answered, Deadlines, HostAddress, Machine};
use data_encoding::HEXLOWER;
use serde::Serialize;

use crate::output::{Failure, Outcome, Output};

/// What `client activate` adds to the common exit codes.
const EXIT_NO_HOST_REACHED: u8 = 3;
/// Product names in the message that names what there is.
const NAMES_SHOWN: usize = 12;

/// What a client machine does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Ask one host once to activate this machine, and check its answer.
    ///
    /// Exit code 0: activated. 1: below the threshold (0xC004F038), refused, or answered by a host that cannot be
    /// trusted. 2: a mistake in the address, the trust file or the product. 3: no host reached.
    Activate(Activate),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Activate {
    /// The host: a name or an IP address, IPv6 in brackets; without a port it is 1688.
    #[arg(long, value_name = "HOST[:PORT]")]
    host: HostAddress,
    /// The publisher's public keys and catalog, as `quorate publisher init` writes them.
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// The product to activate, by its name in the catalog.
    #[arg(long, value_name = "NAME")]
    product: String,
    /// The machine's id. Without it a random one is taken, which counts as one more machine each time; this version
    /// keeps no state file, so note the CMID that is printed and give it again to renew.
    #[arg(long, value_name = "UUID")]
    cmid: Option<Cmid>,
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> Outcome {
        match self {
            Self::Activate(command) => command.run(output),
        }
    }
}

impl Activate {
    fn run(self, output: &Output) -> Outcome {
        let trust = read_trust(&self.trust).map_err(Failure::usage)?;
        let product = product(&trust, &self.product)
            .with_context(|| format!("trust file {}", self.trust.display()))
            .map_err(Failure::usage)?;
        let cmid = self.cmid.map_or_else(client::random_cmid, Ok)?;
        let request = client::request(trust.publisher, product, cmid, &Machine::this())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(client::activate(&self.host, &request, &trust, Deadlines::default()));
        // A name lookup may still hang in a thread of its own: what is known is known.
        runtime.shutdown_background();
        let report = match &result {
            Ok(answered) => Report::answered(&request, answered),
            Err(error) => Report::failed(&request, &self.host, error),
        };
        output.result(&report, Text { report: &report, product: &self.product });
        Ok(exit_code(&result))
    }
}

fn exit_code(result: &Result<Answered, ActivateError>) -> ExitCode {
    match result {
        Ok(answered) if answered.answer.body.is_activated() => ExitCode::SUCCESS,
        Err(ActivateError::NotReached { .. } | ActivateError::Protocol { .. }) => ExitCode::from(EXIT_NO_HOST_REACHED),
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}

fn read_trust(path: &Path) -> anyhow::Result<Trust> {
    let name = || format!("trust file {}", path.display());
    let mut text = String::new();
    // One byte beyond the limit shows that there is more.
    let limit = TRUST_TEXT_BYTES_MAX as u64 + 1;
    let file = File::open(path).with_context(|| format!("{}: cannot be opened", name()))?;
    file.take(limit).read_to_string(&mut text).with_context(|| format!("{}: cannot be read", name()))?;
    Trust::from_toml(&text).with_context(name)
}

/// The id of the product that the publisher's catalog calls `name`.
fn product(trust: &Trust, name: &str) -> anyhow::Result<ProductId> {
    let Some(opened) = &trust.catalog else {
        bail!("it has no catalog, so nothing can be activated: get one with the catalog from the publisher");
    };
    opened
        .catalog
        .product(name)
        .map(|product| ProductId::derive(trust.publisher, product.name.as_str()))
        .ok_or_else(|| anyhow!("its catalog has no product of that name; it has {}", names(opened)))
}

fn names(opened: &OpenedCatalog) -> String {
    let mut products = opened.catalog.products().map(|product| product.name.as_str());
    let mut names: Vec<&str> = products.by_ref().take(NAMES_SHOWN).collect();
    if products.next().is_some() {
        names.push("...");
    }
    names.join(", ")
}

/// The outcome for machines. Every key is always there; what only a verified answer says is null without one.
#[derive(Debug, Serialize)]
struct Report {
    activated: bool,
    status: String,
    words: &'static str,
    advice: Option<&'static str>,
    error: Option<String>,
    /// With 0xC004F042, as the host says: the lowest group that covers the product, and the groups of the host's keys.
    group_needed: Option<String>,
    groups_held: Option<Vec<String>>,
    cmid: String,
    host: String,
    #[serde(flatten)]
    answer: AnswerReport,
}

#[derive(Debug, Default, Serialize)]
struct AnswerReport {
    count: Option<u32>,
    threshold: Option<u32>,
    /// The answering node's public key.
    node_key: Option<String>,
    activation_interval_minutes: Option<u32>,
    renewal_interval_minutes: Option<u32>,
    log_index: Option<u64>,
    offset: Option<u32>,
    cluster_time_ms: Option<u64>,
    request_pdu_bytes: Option<usize>,
    response_pdu_bytes: Option<usize>,
}

impl Report {
    fn answered(request: &Request, answered: &Answered) -> Self {
        let (status, body) = (answered.status(), &answered.answer.body);
        let answer = AnswerReport {
            count: Some(body.count),
            threshold: Some(body.threshold),
            node_key: Some(HEXLOWER.encode(&answered.answer.certificate.node_key)),
            activation_interval_minutes: Some(body.activation_interval_minutes),
            renewal_interval_minutes: Some(body.renewal_interval_minutes),
            log_index: Some(body.log_index),
            offset: Some(body.offset),
            cluster_time_ms: Some(body.cluster_time_ms),
            request_pdu_bytes: Some(answered.request_pdu_bytes),
            response_pdu_bytes: Some(answered.response_pdu_bytes),
        };
        Self {
            activated: body.is_activated(),
            status: status.to_string(),
            words: status.words(),
            advice: (!body.is_activated()).then(|| status.advice()),
            error: None,
            group_needed: None,
            groups_held: None,
            cmid: request.cmid.to_string(),
            host: answered.peer.to_string(),
            answer,
        }
    }

    fn failed(request: &Request, host: &HostAddress, error: &ActivateError) -> Self {
        let detail = match error {
            ActivateError::Refused { detail, .. } => detail.as_ref(),
            _ => None,
        };
        Self {
            activated: false,
            status: error.status().to_string(),
            words: error.status().words(),
            advice: Some(error.advice()),
            error: Some(with_causes(error)),
            group_needed: detail.and_then(|detail| detail.needed.as_ref()).map(ToString::to_string),
            groups_held: detail.map(|detail| detail.held.iter().map(ToString::to_string).collect()),
            cmid: request.cmid.to_string(),
            host: host.to_string(),
            answer: AnswerReport::default(),
        }
    }
}

fn with_causes(error: &ActivateError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

/// The outcome for people.
struct Text<'a> {
    report: &'a Report,
    product: &'a str,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        let (product, verdict) = (self.product, if report.activated { "activated" } else { "not activated" });
        write!(f, "{product} is {verdict}: {} ({})", report.words, report.status)?;
        if let Some(error) = &report.error {
            write!(f, "\n  {error}")?;
        }
        if let Some(advice) = report.advice {
            write!(f, "\n  {advice}")?;
        }
        row(f, "count", report.answer.count)?;
        row(f, "threshold", report.answer.threshold)?;
        row(f, "host", Some(&report.host))?;
        row(f, "node key", report.answer.node_key.as_ref())?;
        row(f, "CMID", Some(&report.cmid))?;
        row(f, "asks again in", report.answer.activation_interval_minutes.map(Minutes))?;
        row(f, "renews every", report.answer.renewal_interval_minutes.map(Minutes))?;
        row(f, "log entry", report.answer.log_index)?;
        row(f, "place in entry", report.answer.offset)?;
        row(f, "request PDU bytes", report.answer.request_pdu_bytes)?;
        row(f, "answer PDU bytes", report.answer.response_pdu_bytes)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, "\n  {name:<18} {value}"))
}

/// Minutes as people count them: "2 h", "7 d".
struct Minutes(u32);

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HOUR: u32 = 60;
        const DAY: u32 = 24 * HOUR;
        let (days, hours, minutes) = (self.0 / DAY, self.0 % DAY / HOUR, self.0 % HOUR);
        let parts = [(days, "d"), (hours, "h"), (minutes, "min")];
        let mut shown = parts.iter().filter(|(number, _)| *number > 0);
        match shown.next() {
            None => f.write_str("0 min"),
            Some((number, unit)) => {
                write!(f, "{number} {unit}")?;
                shown.try_for_each(|(number, unit)| write!(f, " {number} {unit}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Minutes;

    #[test]
    fn minutes_are_shown_as_people_count_them() {
        for (minutes, shown) in
            [(0, "0 min"), (15, "15 min"), (120, "2 h"), (1_500, "1 d 1 h"), (10_080, "7 d"), (1_441, "1 d 1 min")]
        {
            assert_eq!(Minutes(minutes).to_string(), shown);
        }
    }
}
