//! `quorate explain`: one machine's story, in words.

use std::process::ExitCode;

use activation::{id::Cmid, status::Status};
use anyhow::anyhow;
use api::admin::v1::{ActivationEvent, EventsFilter, EventsRequest};
use bytes::Bytes;
use serde_json::json;

use admin::{printable, time_text};

use super::events::{cmid, event_json};
use crate::{
    administration::{AdminArgs, refused},
    output::{CommandResult, Output},
};

const EXAMPLES: &str = "\
Examples:
  quorate explain desk-17
  quorate explain 01234567-89ab-cdef-0123-456789abcdef --json

Every request that the nodes have kept, what was answered, what it means, and what to do.
Exit: 0 it is told; 1 no node has heard of such a machine.";

/// What became of one machine's requests, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Command {
    /// The machine's CMID, or its name.
    #[arg(value_name = "CMID|MACHINE")]
    who: String,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let filter = match self.who.parse::<Cmid>() {
            Ok(cmid) => EventsFilter { cmid: Bytes::copy_from_slice(&cmid.0), ..EventsFilter::default() },
            Err(_) => EventsFilter { machine: self.who.clone(), ..EventsFilter::default() },
        };
        let (events, passed_over) = self.admin.run(async |mut admin| {
            let request = EventsRequest { filter: Some(filter), follow: false };
            let mut parts = admin.events(request).await.map_err(refused)?.into_inner();
            let part = parts.message().await.map_err(refused)?.unwrap_or_default();
            Ok((part.events, part.passed_over))
        })?;
        output.passed_over(&passed_over);
        let Some(last) = events.last() else {
            return Err(anyhow!(
                "no node has kept a request of {}: it has not reached the cluster. On the machine: quorate client discover, \
                 and quorate client status",
                self.who
            )
            .into());
        };
        let (meaning, fix) = meaning(last);
        let story: Vec<_> = events.iter().map(told).collect();
        let shared = shared(&events);
        let value = json!({
            "cmid": cmid(last),
            "requests": events.iter().map(event_json).collect::<Vec<_>>(),
            "meaning": meaning,
            "fix": (!fix.is_empty()).then_some(fix),
            "shared_by": shared,
            "passed_over": passed_over,
        });
        let copies = match shared.as_slice() {
            [] | [_] => String::new(),
            names => format!(
                "\nOne CMID, several machines: {}. They count as one: run `quorate client generalize` on the copies.",
                names.join(", ")
            ),
        };
        let fix = if fix.is_empty() { String::new() } else { format!("\nTo do: {fix}.") };
        output.result(&value, format_args!("{}\n\n{meaning}.{fix}{copies}", story.join("\n")));
        Ok(ExitCode::SUCCESS)
    }
}

fn told(event: &ActivationEvent) -> String {
    let time = time_text::second(event.time_ms);
    let product = if event.product_name.is_empty() { "an unknown product" } else { &event.product_name };
    let virtual_machine = if event.virtual_machine { ", a virtual machine," } else { "" };
    let place = match event.log_index {
        0 => "not counted".to_owned(),
        index => format!("entry {index}, place {}", event.offset),
    };
    let answer = match Status(event.status) {
        Status::OK if event.count >= event.required_count => format!("activated, count {}", event.count),
        Status::OK => format!("below the threshold, count {} of {}", event.count, event.required_count),
        status => format!("refused, {status}"),
    };
    format!(
        "{time}  node {}: {}{virtual_machine} asked for {product}: {answer} ({place})",
        event.node,
        printable(&event.machine_name)
    )
}

/// What the last answer means, and what to do.
fn meaning(event: &ActivationEvent) -> (String, &'static str) {
    let product = &event.product_name;
    match Status(event.status) {
        Status::OK if event.count >= event.required_count => {
            ("It is activated for 180 days from its last answer, and renews by itself".into(), "")
        }
        Status::OK => (
            format!(
                "It is counted; {} of {} machines have asked within 30 days ({})",
                event.count,
                event.required_count,
                Status::BELOW_THRESHOLD
            ),
            "wait until enough machines have asked: quorate count",
        ),
        Status::HOST_NOT_ACTIVATED => (
            format!("Node {} is not activated by the publisher of {product}", event.node),
            "quorate key activate, and quorate doctor",
        ),
        Status::KEY_DOES_NOT_COVER_PRODUCT => (
            format!("No key of node {} covers {product}", event.node),
            "install a key of a group that does: quorate catalog show names it, quorate key install",
        ),
        Status::KEY_BLOCKED => {
            ("Its publisher blocked the key".into(), "ask the publisher for another one: quorate key install")
        }
        Status::CLOCK_SKEW => (
            format!(
                "Its clock is more than 4 hours off: it said {}, when the node had {}",
                time_text::second(event.client_time_ms),
                time_text::second(event.time_ms)
            ),
            "set the machine's clock",
        ),
        Status::HOST_UNAVAILABLE => (
            "The cluster could not record it: no leader answered in time".into(),
            "nothing on the machine: it asks again. quorate cluster status, and quorate doctor",
        ),
        status => (format!("It was answered {status}"), "quorate doctor"),
    }
}

/// Names under which the CMID asked, where machines of several identities did.
fn shared(events: &[ActivationEvent]) -> Vec<String> {
    if !events.iter().any(|event| event.other_machine) {
        return Vec::new();
    }
    let mut names: Vec<_> = events.iter().map(|event| printable(&event.machine_name)).collect();
    names.sort();
    names.dedup();
    names
}
