//! `quorate events`: the activation events (12290) of all nodes: requests with their answers.

use std::{fmt::Write as _, process::ExitCode};

use activation::{id::Cmid, status::Status};
use api::admin::v1::{ActivationEvent, EventsFilter, EventsRequest};
use bytes::Bytes;
use serde_json::{Value, json};

use admin::{printable, time_text};

use crate::{
    administration::{Admin, AdminArgs, block_on, refused},
    arguments,
    output::{CommandResult, Failure, Output, table},
};

const EXAMPLES: &str = "\
Examples:
  quorate events --since 1h
  quorate events --machine desk-17 --csv > desk-17.csv
  quorate events --follow --json | jq .machine_name

Each node keeps its latest events in a log of bounded size; all nodes are queried. Exit: 0, also where nothing was
found.";

/// Show the requests of client machines and how they were answered.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Command {
    /// Show events not older than this: a number with s, m, h or d.
    #[arg(long, value_name = "TIME", value_parser = arguments::seconds)]
    since: Option<u64>,
    /// Show events of the machine with this CMID.
    #[arg(long)]
    cmid: Option<Cmid>,
    /// Show events of the machine with this name; case does not matter.
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
    /// Show at most this many events of each node (the newest).
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    last: u32,
    /// Keep showing new events until interrupted.
    #[arg(long)]
    follow: bool,
    /// Print comma-separated values, with a heading.
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// The format in which events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Table,
    Csv,
    Lines,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let filter = EventsFilter {
            since_ms: self.since.map_or(0, arguments::ago_ms),
            cmid: self.cmid.map_or_else(Bytes::new, |cmid| Bytes::copy_from_slice(&cmid.0)),
            machine: self.machine.unwrap_or_default(),
            last: self.last,
            after_number: 0,
        };
        let form = match (self.csv, output.is_for_machines()) {
            (true, _) => Form::Csv,
            (false, true) if self.follow => Form::Lines,
            (false, _) => Form::Table,
        };
        let follow = self.follow;
        block_on(async {
            let mut admin = self.admin.connect().await?;
            let shown = show(&mut admin, filter, follow, form, output);
            tokio::select! {
                shown = shown => shown,
                _interrupted = tokio::signal::ctrl_c() => Ok(()),
            }
        })??;
        Ok(ExitCode::SUCCESS)
    }
}

async fn show(
    admin: &mut Admin,
    filter: EventsFilter,
    follow: bool,
    form: Form,
    output: &Output,
) -> Result<(), Failure> {
    let request = EventsRequest { filter: Some(filter), follow };
    let mut parts = admin.events(request).await.map_err(refused)?.into_inner();
    let mut is_first = true;
    while let Some(part) = parts.message().await.map_err(refused)? {
        if is_first {
            output.passed_over(&part.passed_over);
        }
        match form {
            Form::Csv => {
                let head = if is_first { HEAD } else { "" };
                let lines: String = part.events.iter().map(csv).collect();
                let text = format!("{head}{lines}");
                if !text.is_empty() {
                    output.plain(text.trim_end());
                }
            }
            Form::Lines => part.events.iter().for_each(|event| output.plain(event_json(event))),
            Form::Table if part.events.is_empty() && is_first && !follow => {
                output
                    .result(&json!({ "events": [], "passed_over": part.passed_over }), "No matching event was found.");
            }
            Form::Table if part.events.is_empty() => {}
            Form::Table => {
                let events: Vec<_> = part.events.iter().map(event_json).collect();
                output.result(&json!({ "events": events, "passed_over": part.passed_over }), text(&part.events));
            }
        }
        is_first = false;
    }
    Ok(())
}

fn status(event: &ActivationEvent) -> Status {
    Status(event.status)
}

pub(crate) fn cmid(event: &ActivationEvent) -> String {
    cmid_of(&event.cmid)
}

/// The CMID as text; empty where `bytes` is not a CMID.
pub(crate) fn cmid_of(bytes: &[u8]) -> String {
    <[u8; 16]>::try_from(bytes).map_or_else(|_| String::new(), |bytes| Cmid(bytes).to_string())
}

/// An event as JSON: the fields of event 12290 in the order that administrators know, then the other fields.
pub(crate) fn event_json(event: &ActivationEvent) -> Value {
    json!({
        "event": 12290,
        "status": status(event).to_string(),
        "required_count": event.required_count,
        "machine_name": printable(&event.machine_name),
        "cmid": cmid(event),
        "client_time_ms": event.client_time_ms,
        "virtual_machine": event.virtual_machine,
        "license_status": event.license_status,
        "minutes_to_expiry": event.minutes_to_expiry,
        "product": printable(&event.product_name),
        "count": event.count,
        "client_address": address_json(event),
        "node": event.node,
        "number": event.number,
        "time_ms": event.time_ms,
        "log_index": event.log_index,
        "offset": event.offset,
        "other_machine": event.other_machine,
    })
}

/// Address of the client; `None` where the event does not hold it.
pub(crate) fn address_json(event: &ActivationEvent) -> Option<String> {
    (!event.client_address.is_empty()).then(|| printable(&event.client_address))
}

fn text(events: &[ActivationEvent]) -> String {
    let mut rows = table(["time (UTC)", "node", "machine", "address", "CMID", "product", "status", "count"]);
    for event in events {
        let count = if event.required_count > 0 {
            format!("{} of {}", event.count, event.required_count)
        } else {
            String::new()
        };
        rows.add_row([
            time_text::second(event.time_ms),
            event.node.to_string(),
            printable(&event.machine_name),
            printable(&event.client_address),
            cmid(event),
            printable(&event.product_name),
            status(event).to_string(),
            count,
        ]);
    }
    rows.to_string()
}

const HEAD: &str = "time,status,required count,machine name,CMID,client time,VM,license status,minutes to expiry,product,count,node,client address\n";

fn csv(event: &ActivationEvent) -> String {
    let fields = [
        time_text::rfc3339(event.time_ms),
        status(event).to_string(),
        event.required_count.to_string(),
        printable(&event.machine_name),
        cmid(event),
        time_text::rfc3339(event.client_time_ms),
        event.virtual_machine.to_string(),
        event.license_status.to_string(),
        event.minutes_to_expiry.to_string(),
        printable(&event.product_name),
        event.count.to_string(),
        event.node.to_string(),
        printable(&event.client_address),
    ];
    let mut line = String::new();
    for (index, field) in fields.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _into_a_string = write!(line, "{comma}{}", cell(field));
    }
    line.push('\n');
    line
}

/// One CSV cell (RFC 4180). A value that a spreadsheet would take for a formula is marked as text.
fn cell(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_name_is_text_wherever_it_is_shown() {
        let event = |name: &str| ActivationEvent { machine_name: name.into(), ..ActivationEvent::default() };
        for (name, shown) in [
            ("desk-1", "desk-1"),
            ("=1+1", "'=1+1"),
            ("@sum(a1)", "'@sum(a1)"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("a\nb\u{1b}[31m", "a\u{fffd}b\u{fffd}[31m"),
        ] {
            let line = csv(&event(name));
            assert_eq!(line.split_once(",0,").unwrap().1.split_once(",,1970").unwrap().0, shown, "{line}");
        }
        let of_an_older_version = event_json(&event("<b>\u{7}"));
        assert_eq!(of_an_older_version["machine_name"], "<b>\u{fffd}");
        assert_eq!(of_an_older_version["client_address"], Value::Null);
    }
}
