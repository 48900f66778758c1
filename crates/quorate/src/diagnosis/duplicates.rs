//! `quorate duplicates`: CMIDs with which several machines ask, and those machines.

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

A copied machine has the CMID of the one it was copied from, and both count as one. On each copy run
`quorate client generalize`; an image is to be generalized before it is copied. A machine whose hardware was changed looks
like another one, too: then there is nothing to do.

Each node remembers the CMIDs that asked it last, from its start on; all nodes are asked. Exit: 0 also where some were found.";

/// List CMIDs with which several machines ask, and those machines.
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
            output.result(&value, "No CMID is known to be shared.");
        } else {
            output.result(&value, text(&reply.duplicates));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn fix(duplicate: &DuplicateCmid) -> &'static str {
    // A reinstalled machine replaces the earlier one once; more changes mean that both machines go on asking.
    if duplicate.changes > 1 {
        "these are copies: run `quorate client generalize` on all but one"
    } else {
        "a copy: run `quorate client generalize` on it; or the same machine with other hardware: nothing to do"
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
    let mut rows = table(["CMID", "machine", "asked last (UTC)", "node", "what to do"]);
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
