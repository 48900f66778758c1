//! `quorate console`: prints the address of the page for administrators, with a ticket that opens it.

use std::process::ExitCode;

use api::admin::v1::ConsoleTicketRequest;
use serde_json::json;

use crate::{
    administration::AdminArgs,
    output::{CommandResult, Output},
};

const EXAMPLES: &str = "\
Examples:
  quorate console                       on a node: the address of its page
  quorate console --admin lab           over the network; the role reader is enough

By default the console listens on loopback only. Where a node requires tickets (console.auth), the address holds one:
valid once, within a minute. The page is plain HTTP: over an untrusted network use an SSH tunnel.";

/// Print the address of the node's web console.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Command {
    #[command(flatten)]
    admin: AdminArgs,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let reply = self.admin.ask(async |admin| admin.console_ticket(ConsoleTicketRequest {}).await)?;
        let valid_s = (reply.valid_s > 0).then_some(reply.valid_s);
        output.result(&json!({ "url": reply.url, "ticket_valid_s": valid_s }), &reply.url);
        if let Some(valid_s) = valid_s {
            output.aside(format_args!("The address is valid once, within {valid_s} s."));
        }
        Ok(ExitCode::SUCCESS)
    }
}
