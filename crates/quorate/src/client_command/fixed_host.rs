//! `quorate client set-host|clear-host`: a host that is configured instead of looked up in DNS (R18).

use std::path::PathBuf;
use std::process::ExitCode;

use client::{FixedHost, StateFolder};
use serde_json::json;

use super::state::check_is_made;
use crate::output::{CommandResult, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate client set-host node1.example.com --state DIR
  quorate client set-host 192.0.2.1:1700 --state DIR
  quorate client set-host [2001:db8::1] --state DIR
  quorate client clear-host --state DIR            hosts are looked up in DNS again";

#[derive(Debug, clap::Args)]
pub(crate) struct SetHost {
    /// A full name, a short name (looked up in the system's search list), or an IP address; the default port is 1688.
    #[arg(value_name = "HOST[:PORT]")]
    host: FixedHost,
    /// Folder in which the machine keeps its state; made at first use.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ClearHost {
    /// Folder in which the machine keeps its state.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

impl SetHost {
    pub(crate) fn new(host: FixedHost, state: PathBuf) -> Self {
        Self { host, state }
    }

    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let host = self.host.to_string();
        StateFolder::open(&self.state)?.set_host(self.host)?;
        output
            .result(&json!({ "host": host, "found_by": "fixed" }), format_args!("This machine now uses only {host}."));
        Ok(ExitCode::SUCCESS)
    }
}

impl ClearHost {
    pub(crate) fn new(state: PathBuf) -> Self {
        Self { state }
    }

    pub(crate) fn run(&self, output: &Output) -> CommandResult {
        check_is_made(&self.state)?;
        StateFolder::open(&self.state)?.clear_host()?;
        let text = "This machine now looks up hosts in DNS; the cached host was removed.";
        output.result(&json!({ "host": null, "found_by": null }), text);
        Ok(ExitCode::SUCCESS)
    }
}
