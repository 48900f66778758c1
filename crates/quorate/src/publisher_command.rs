//! `quorate publisher ...`

use std::process::ExitCode;

use crate::output::{Outcome, Output};

/// What a publisher does.
#[derive(Debug, clap::Subcommand)]
pub enum Command {}

impl Command {
    /// Runs it.
    pub fn run(self, _output: &Output) -> Outcome {
        match self {}
    }
}

#[expect(dead_code, reason = "until the first command")]
const DONE: ExitCode = ExitCode::SUCCESS;
