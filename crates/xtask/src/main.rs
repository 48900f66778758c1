//! The workspace's own command: `cargo xtask verify | fix | test | soak | hooks`.
//!
//! The architecture is only as good as its last check, so what the documents say of the code is checked here: the
//! arrows between crates and between modules, the paths that documents name, the tests of each requirement, licences,
//! banned words. `verify` runs every check and reports
//! every finding before it fails.
//!
//! Invariant: `verify` never writes to the repository; it may only fill the build folder.

mod arrows;
mod cargo;
mod figures;
mod finding;
mod golden;
mod hooks;
mod libraries;
mod licences;
mod modules;
mod output;
mod paths;
mod previous;
mod requirements;
mod sources;
mod suite;
mod tools;
mod tree;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{cargo::Workspace, output::say, suite::Suite};

/// Checks and tests of the workspace.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "Examples:\n  \
        cargo xtask verify                 every check; nothing is written\n  \
        cargo xtask verify arrows docs     these two only\n  \
        cargo xtask verify requirements    which tests prove each requirement, event and status code\n  \
        cargo xtask verify --quick         what a commit must pass: seconds, and no library of the system\n  \
        cargo xtask hooks                  let git run that before each commit\n  \
        cargo xtask fix                    format, and apply what clippy can repair by itself\n  \
        cargo xtask test                   what the tests need, every check, every test\n  \
        cargo xtask test r10_ r12_         the tests whose names contain one of these\n  \
        cargo xtask test cluster           what befalls a cluster under load, with a table of figures\n  \
        cargo xtask test cluster isolated  those scenarios whose names contain this\n  \
        cargo xtask soak                   the long tests, which `test` leaves out\n  \
        cargo xtask golden record COMMIT   let an older commit write files that tests replay"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the workspace against its design, without writing anything
    Verify {
        /// Only these checks
        #[arg(value_name = "CHECK", value_parser = verify::names())]
        only: Vec<String>,
        /// The checks that take seconds: without clippy and licences, but everything has to compile
        #[arg(long, conflicts_with = "only")]
        quick: bool,
    },
    /// Let git run `verify --quick` before each commit in this repository
    #[command(after_help = "Examples:\n  \
        cargo xtask hooks                       sets core.hooksPath to .config/hooks, for every working tree\n  \
        git commit --no-verify                  one commit without the hook\n  \
        git config --unset core.hooksPath       no hook from now on")]
    Hooks,
    /// Format the workspace and apply the repairs that clippy offers
    Fix,
    /// Install what the tests need where it is missing, verify, then run all tests
    Test {
        /// Only tests whose names contain one of these; `cluster` first: the scenarios, which are left out otherwise
        #[arg(value_name = "FILTER")]
        filters: Vec<String>,
    },
    /// Files that an older commit wrote, for tests that replay them
    Golden {
        #[command(subcommand)]
        command: golden::Golden,
    },
    /// Install what the tests need where it is missing, build the recorded older version, then run the long tests: minutes each
    Soak {
        /// Only tests whose names contain one of these
        #[arg(value_name = "FILTER")]
        filters: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            say(format_args!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Verify { only, quick } => Ok(exit_code(verify::run(&workspace, &only, quick)?)),
        Command::Hooks => {
            say(hooks::install(&workspace)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Fix => Ok(exit_code(verify::fix(&workspace)?)),
        Command::Test { filters } if filters.first().is_some_and(|first| first == "cluster") => {
            let chosen = filters.get(1..).unwrap_or_default();
            run_suite(&workspace, Suite::Scenarios, chosen)
        }
        Command::Test { filters } => {
            let environment = tools::provide(&workspace, false)?;
            if !verify::run(&workspace, &[], false)? {
                say("test: no test was run, because verify failed (`cargo xtask fix` repairs format and some lints)");
                return Ok(ExitCode::FAILURE);
            }
            suite::run(&workspace, &environment, Suite::Tests, &filters)
        }
        Command::Golden { command } => golden::run(&workspace, &command).map(|()| ExitCode::SUCCESS),
        Command::Soak { filters } => {
            let program = previous::build(&workspace)?;
            say(format_args!("soak: `cargo xtask test cluster` upgrades from {}", program.display()));
            run_suite(&workspace, Suite::Soaks, &filters)
        }
    }
}

fn run_suite(workspace: &Workspace, suite: Suite, filters: &[String]) -> Result<ExitCode> {
    suite::run(workspace, &tools::provide(workspace, suite == Suite::Soaks)?, suite, filters)
}

fn exit_code(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
