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
  quorate console                       on a node: its address
  quorate console --admin lab           from afar; a reader may

By default the console answers on its own machine only. Where a node asks for tickets (console.auth) one is in the address: good
once, within a minute. The page is plain HTTP: over a network that is not to be trusted use an SSH tunnel.";

/// Print the address of the node's page for administrators.
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
            output.aside(format_args!("The address is good once, within {valid_s} s."));
        }
        Ok(ExitCode::SUCCESS)
    }
}
