//! `quorate explain`: explains what happened to one machine's requests.

use std::process::ExitCode;

use activation::{id::Cmid, limits::CMID_LIFETIME_MS, status::Status};
use anyhow::anyhow;
use api::admin::v1::{
    ActivationEvent, CountedInReply, CountedInRequest, EventsFilter, EventsPart, EventsRequest, SeenIn,
};
use bytes::Bytes;
use serde_json::{Value, json};

use admin::{printable, time_text};

use super::events::{address_json, cmid, event_json};
use crate::{
    administration::{Admin, AdminArgs, refused},
    output::{CommandResult, Failure, Output},
};

const EXAMPLES: &str = "\
Examples:
  quorate explain desk-17
  quorate explain 01234567-89ab-cdef-0123-456789abcdef --json

Shows every stored request with its client address and answer, what the last answer means, whether the machine is
counted now, and the remedy.
Exit: 0 found; 1 no node has a request of this machine.";

/// Explain what happened to one machine's requests, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Command {
    /// The machine's CMID, or its name.
    #[arg(value_name = "CMID|MACHINE")]
    who: String,
    #[command(flatten)]
    admin: AdminArgs,
}

/// What the nodes have stored about one machine.
struct Known {
    events: Vec<ActivationEvent>,
    /// Whether the machine is counted; `None` where no majority confirmed it.
    counts: Option<CountedInReply>,
    passed_over: Vec<String>,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let known = self.admin.run(async |admin| ask(admin, &self.who).await)?;
        output.passed_over(&known.passed_over);
        let Known { events, counts, passed_over } = known;
        let seen = counts.as_ref().map_or(&[] as &[SeenIn], |counts| &counts.seen);
        let standing = Standing::of(&events, counts.as_ref());
        let Some(last) = events.last() else {
            if seen.is_empty() {
                return Err(anyhow!(
                    "no node has a request of {}: it has not reached the cluster. Run `quorate client discover` and \
                     `quorate client status` on the machine",
                    self.who
                )
                .into());
            }
            let meaning = format!("No node has an event of this machine. {}", standing.words());
            let value = json!({
                "cmid": self.who,
                "counted": standing.counted(),
                "counted_in": seen.iter().map(seen_json).collect::<Vec<_>>(),
                "client_address": null,
                "requests": [],
                "meaning": meaning,
                "fix": null,
                "shared_by": [],
                "passed_over": passed_over,
            });
            output.result(&value, format_args!("{meaning}."));
            return Ok(ExitCode::SUCCESS);
        };
        let (meaning, fix) = meaning(last, &standing);
        let story: Vec<_> = events.iter().map(told).collect();
        let shared = shared(&events);
        let address = events.iter().rev().find_map(address_json);
        let value = json!({
            "cmid": cmid(last),
            "counted": standing.counted(),
            "counted_in": seen.iter().map(seen_json).collect::<Vec<_>>(),
            "client_address": address,
            "requests": events.iter().map(event_json).collect::<Vec<_>>(),
            "meaning": meaning,
            "fix": (!fix.is_empty()).then_some(fix),
            "shared_by": shared,
            "passed_over": passed_over,
        });
        let copies = match shared.as_slice() {
            [] | [_] => String::new(),
            names => format!(
                "\nSeveral machines use this CMID: {}. They are counted as one: run `quorate client generalize` on the \
                 copies.",
                names.join(", ")
            ),
        };
        let fix = if fix.is_empty() { String::new() } else { format!("\nRemedy: {fix}.") };
        let from = address.map_or_else(String::new, |address| format!("\nLast client address: {address}."));
        let standing = standing.words();
        output.result(&value, format_args!("{}\n\n{meaning}.\n{standing}.{from}{fix}{copies}", story.join("\n")));
        Ok(ExitCode::SUCCESS)
    }
}

/// Collects the machine's events from all nodes, and what the state says about its CMID.
async fn ask(mut admin: Admin, who: &str) -> Result<Known, Failure> {
    let given = who.parse::<Cmid>().ok();
    let filter = match given {
        Some(cmid) => EventsFilter { cmid: Bytes::copy_from_slice(&cmid.0), ..EventsFilter::default() },
        None => EventsFilter { machine: who.to_owned(), ..EventsFilter::default() },
    };
    let request = EventsRequest { filter: Some(filter), follow: false };
    let mut parts = admin.events(request).await.map_err(refused)?.into_inner();
    let EventsPart { events, mut passed_over } = parts.message().await.map_err(refused)?.unwrap_or_default();
    let given = given.map(|cmid| Bytes::copy_from_slice(&cmid.0));
    let counts = match given.or_else(|| events.last().map(|event| event.cmid.clone())) {
        Some(cmid) => match admin.counted_in(CountedInRequest { cmid }).await {
            Ok(reply) => Some(reply.into_inner()),
            // The explanation is still printed, without the count.
            Err(why) => {
                passed_over.push(format!("whether it is counted: {}", why.message()));
                None
            }
        },
        None => None,
    };
    Ok(Known { events, counts, passed_over })
}

fn seen_json(seen: &SeenIn) -> Value {
    json!({
        "publisher": printable(&seen.publisher_name),
        "application": printable(&seen.application),
        "counted": seen.counted,
        "last_request_ms": seen.last_request_ms,
        "node": seen.node,
        "machine_name": printable(&seen.machine_name),
    })
}

/// Whether a machine is counted for the application of its last request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// The machine is counted for this application, by its request at this time.
    Counted { application: String, last_request_ms: u64 },
    /// The machine was counted within 30 days, but more other machines sent requests since than the cache limit allows.
    Displaced,
    /// The machine's last counted request is 30 days old or older.
    Expired,
    /// The nodes have stored no counted request of this machine.
    Never,
    /// No majority confirmed the count.
    Unknown,
}

impl Standing {
    /// Uses the application of the last request; where no catalog holds it, any application.
    fn of(events: &[ActivationEvent], counts: Option<&CountedInReply>) -> Self {
        let Some(counts) = counts else { return Self::Unknown };
        let asked_in = |publisher: &[u8], application: &str| match events.last() {
            Some(last) if !last.application.is_empty() => {
                last.publisher == publisher && last.application == application
            }
            _ => true,
        };
        let remembered = counts.seen.iter().filter(|seen| asked_in(&seen.publisher, &seen.application));
        let newest = remembered.max_by_key(|seen| (seen.counted, seen.last_request_ms));
        if let Some(seen) = newest {
            let (application, last_request_ms) = (seen.application.clone(), seen.last_request_ms);
            return if seen.counted { Self::Counted { application, last_request_ms } } else { Self::Expired };
        }
        let was_counted = |event: &&ActivationEvent| {
            Status(event.status) == Status::OK && asked_in(&event.publisher, &event.application)
        };
        match events.iter().rev().find(was_counted) {
            None => Self::Never,
            Some(event) if event.time_ms.saturating_add(CMID_LIFETIME_MS) > counts.expiry_ms => Self::Displaced,
            Some(_) => Self::Expired,
        }
    }

    /// Whether the machine is counted; `None` (null in JSON) where that is not known.
    fn counted(&self) -> Option<bool> {
        match self {
            Self::Counted { .. } => Some(true),
            Self::Displaced | Self::Expired | Self::Never => Some(false),
            Self::Unknown => None,
        }
    }

    /// The standing as a sentence without its full stop.
    fn words(&self) -> String {
        match self {
            Self::Counted { application, last_request_ms } => format!(
                "It is counted for {}, by its request of {}",
                printable(application),
                time_text::second(*last_request_ms)
            ),
            Self::Displaced => {
                "It is not counted: newer requests of other machines displaced it, because the cache limit is twice \
                 the threshold; its next request is counted again"
                    .into()
            }
            Self::Expired => {
                "It is not counted: its last counted request is at least 30 days old; its next request is counted again"
                    .into()
            }
            Self::Never => "It is not counted: none of its stored requests was counted".into(),
            Self::Unknown => "Whether it is counted is not known: no majority confirmed the count".into(),
        }
    }
}

fn told(event: &ActivationEvent) -> String {
    let time = time_text::second(event.time_ms);
    let product = if event.product_name.is_empty() { "an unknown product" } else { &event.product_name };
    let virtual_machine = if event.virtual_machine { ", a virtual machine," } else { "" };
    let place = match event.log_index {
        0 => "not counted".to_owned(),
        index => format!("entry {index}, offset {}", event.offset),
    };
    let answer = match Status(event.status) {
        Status::OK if event.count >= event.required_count => format!("activated, count {}", event.count),
        Status::OK => format!("below the threshold, count {} of {}", event.count, event.required_count),
        status => format!("refused, {status}"),
    };
    let from = address_json(event).map_or_else(String::new, |address| format!(" at {address}"));
    format!(
        "{time}  node {}: {}{from}{virtual_machine} requested {product}: {answer} ({place})",
        event.node,
        printable(&event.machine_name)
    )
}

/// What the last answer means, and what to do about it.
fn meaning(event: &ActivationEvent, standing: &Standing) -> (String, &'static str) {
    let product = &event.product_name;
    match Status(event.status) {
        Status::OK if event.count >= event.required_count => {
            ("It is activated for 180 days from its last answer, and renews by itself".into(), "")
        }
        Status::OK if standing.counted() == Some(false) => (
            format!(
                "It was counted as machine {} of {} ({}), and is no longer counted",
                event.count,
                event.required_count,
                Status::BELOW_THRESHOLD
            ),
            "wait until the threshold is reached (quorate count), and check the client addresses of new machines \
             (quorate events)",
        ),
        Status::OK => (
            format!(
                "It was counted; {} of {} machines had sent a request within 30 days ({})",
                event.count,
                event.required_count,
                Status::BELOW_THRESHOLD
            ),
            "wait until the threshold is reached: quorate count",
        ),
        Status::HOST_NOT_ACTIVATED => (
            format!("Node {} is not activated by the publisher of {product}", event.node),
            "activate the node (quorate key activate), then run quorate doctor",
        ),
        Status::KEY_DOES_NOT_COVER_PRODUCT => (
            format!("No key of node {} covers {product}", event.node),
            "find the group in quorate catalog show, and install a key of it: quorate key install",
        ),
        Status::KEY_BLOCKED => (
            "The publisher blocked the host key".into(),
            "ask the publisher for another key, and install it: quorate key install",
        ),
        Status::CLOCK_SKEW => (
            format!(
                "Its clock is more than 4 hours off: its request had the time {} when the node's clock showed {}",
                time_text::second(event.client_time_ms),
                time_text::second(event.time_ms)
            ),
            "set the machine's clock",
        ),
        Status::HOST_UNAVAILABLE => (
            "The cluster could not record it: no leader answered in time".into(),
            "nothing on the machine, which tries again by itself; check the cluster: quorate cluster status and \
             quorate doctor",
        ),
        status => (format!("It was answered {status}"), "quorate doctor"),
    }
}

/// The names of the machines that use the CMID, where there are several; else empty.
fn shared(events: &[ActivationEvent]) -> Vec<String> {
    if !events.iter().any(|event| event.other_machine) {
        return Vec::new();
    }
    let mut names: Vec<_> = events.iter().map(|event| printable(&event.machine_name)).collect();
    names.sort();
    names.dedup();
    names
}
