//! `quorate version`: version, commit and formats of this program, for people and for scripts that compare nodes.

use std::process::ExitCode;

use activation::state::Format;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::output::{CommandResult, Output};

/// The commit that the program was built from; `unknown` for a build from an archive without git.
const COMMIT: &str = env!("QUORATE_COMMIT");
/// When the build began, in seconds since 1970.
const BUILT_S: &str = env!("QUORATE_BUILT_S");

pub(crate) const EXAMPLES: &str = "\
Examples:
  quorate version           for people
  quorate version --json    {\"version\":...,\"commit\":...,\"built\":...,\"formats\":[...]}

Nodes whose programs have a format in common can be in one cluster (quorate cluster format).";

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self, output: &Output) -> CommandResult {
        let version = env!("CARGO_PKG_VERSION");
        let built = BUILT_S.parse().ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        let built = built.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| "unknown".into());
        let formats: Vec<_> = (Format::OLDEST.number()..=Format::NEWEST.number()).collect();
        let listed = formats.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        output.result(
            &json!({ "version": version, "commit": COMMIT, "built": built, "formats": formats }),
            format_args!("quorate {version}\ncommit   {COMMIT}\nbuilt    {built}\nformats  {listed}"),
        );
        Ok(ExitCode::SUCCESS)
    }
}
