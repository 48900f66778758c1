//! `quorate duplicates`: CMIDs that several machines use, and those machines.

use std::process::ExitCode;

use admin::{printable, time_text};
use api::admin::v1::{CmidMachine, DuplicateCmid, DuplicatesRequest};
use serde_json::{Value, json};

use super::events::cmid_of;
use crate::{
    administration::AdminArgs,
    output::{CommandResult, Output, table},
};

const EXAMPLES: &str = "\
Examples:
  quorate duplicates
  quorate duplicates --admin lab --json

A copied machine has the CMID of the original, and both are counted as one. Run `quorate client generalize` on each
copy, and generalize an image before it is copied. A machine whose hardware was changed can also be listed here: then
nothing needs to be done.

Each node remembers its latest CMIDs since its start; all nodes are queried. Exit: 0, also where shared CMIDs were
found.";

/// List CMIDs that several machines use, and those machines.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Command {
    #[command(flatten)]
    admin: AdminArgs,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let reply = self.admin.ask(async |admin| admin.duplicates(DuplicatesRequest {}).await)?;
        output.passed_over(&reply.passed_over);
        let value = json!({
            "duplicates": reply.duplicates.iter().map(duplicate_json).collect::<Vec<_>>(),
            "passed_over": reply.passed_over,
        });
        if reply.duplicates.is_empty() {
            output.result(&value, "No shared CMID was found.");
        } else {
            output.result(&value, text(&reply.duplicates));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn fix(duplicate: &DuplicateCmid) -> &'static str {
    // A reinstalled machine replaces the earlier one once; more changes mean that both machines still send requests.
    if duplicate.changes > 1 {
        "these are copies: run `quorate client generalize` on all except one"
    } else {
        "if it is a copy, run `quorate client generalize` on it; if its hardware was changed, nothing needs to be done"
    }
}

fn duplicate_json(duplicate: &DuplicateCmid) -> Value {
    let machine = |machine: &CmidMachine| json!({ "name": printable(&machine.name), "asked_at": time_text::rfc3339(machine.asked_ms), "node": machine.node });
    json!({
        "cmid": cmid_of(&duplicate.cmid),
        "machines": duplicate.machines.iter().map(machine).collect::<Vec<_>>(),
        "changes": duplicate.changes,
        "fix": fix(duplicate),
    })
}

fn text(duplicates: &[DuplicateCmid]) -> String {
    let mut rows = table(["CMID", "machine", "last request (UTC)", "node", "remedy"]);
    for duplicate in duplicates {
        let (mut cmid, mut fix) = (cmid_of(&duplicate.cmid), fix(duplicate));
        for machine in &duplicate.machines {
            let asked = time_text::second(machine.asked_ms);
            rows.add_row([&cmid, &printable(&machine.name), &asked, &machine.node.to_string(), fix]);
            (cmid, fix) = (String::new(), "");
        }
    }
    rows.to_string()
}
