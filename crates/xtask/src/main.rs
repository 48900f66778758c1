//! The workspace's own command: `cargo xtask verify | fix | test | simulate | soak | release | hooks`.
//!
//! The checks compare the code with the documents: the arrows between crates and between modules, the paths that
//! documents name, the tests of each requirement, licences, banned words. `verify` runs every check and reports every
//! finding before it fails. `simulate` runs a cluster under faults in virtual time; `test` and `soak` run it too.
//!
//! Invariant: `verify` never writes to the repository; it may only fill the build folder.

mod arrows;
mod cargo;
mod figures;
mod finding;
mod floods;
mod golden;
mod hooks;
mod libraries;
mod licences;
mod modules;
mod output;
mod paths;
mod previous;
mod release;
mod requirements;
mod simulate;
mod sources;
mod suite;
mod terms;
mod tools;
mod tree;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{cargo::Workspace, output::say, simulate::Simulate, suite::Suite};

/// How long the simulation runs within `test`, in minutes.
const SIMULATED_MINUTES: u64 = 2;

/// How many seeds run within `soak`.
const SOAKED_SEEDS: u64 = 1000;

/// The filter of `soak` that selects the simulation.
const SIMULATION: &str = "simulate";

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
        cargo xtask test                   what the tests need, every check, the simulation, every test\n  \
        cargo xtask test r10_ r12_         the tests whose names contain one of these\n  \
        cargo xtask test cluster           what befalls a cluster under load, with a table of figures\n  \
        cargo xtask test cluster isolated  those scenarios whose names contain this\n  \
        cargo xtask test hostile           floods of strangers on every port, with a table of what was served\n  \
        cargo xtask simulate               a simulated cluster under faults: the kept seeds, and 20 more\n  \
        cargo xtask soak                   the long tests, which `test` leaves out, and 1,000 more seeds\n  \
        cargo xtask soak simulate          only the seeds\n  \
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
        /// Run only these checks
        #[arg(value_name = "CHECK", value_parser = verify::names())]
        only: Vec<String>,
        /// Only the checks that take seconds: without clippy and licences; everything has to compile
        #[arg(long, conflicts_with = "only")]
        quick: bool,
    },
    /// Have git run `verify --quick` before each commit in this repository
    #[command(after_help = "Examples:\n  \
        cargo xtask hooks                       sets core.hooksPath to .config/hooks, for every working tree\n  \
        git commit --no-verify                  one commit without the hook\n  \
        git config --unset core.hooksPath       no hook from now on")]
    Hooks,
    /// Format the workspace and apply the repairs that clippy offers
    Fix,
    /// Install what the tests need where it is missing, verify, simulate for 3 minutes, then run all tests
    Test {
        /// Only tests whose names contain one of these. With `cluster` first: the scenarios; with `hostile` first:
        /// the floods. Both are left out otherwise
        #[arg(value_name = "FILTER")]
        filters: Vec<String>,
    },
    /// Run a simulated cluster under faults, one process for each seed, and report the violations that an oracle
    /// finds
    Simulate(Simulate),
    /// Build the release, and move the debug information of the program into a file beside it
    Release,
    /// Manage files that an older commit wrote, for tests that replay them
    Golden {
        #[command(subcommand)]
        command: golden::Golden,
    },
    /// Install what the tests need where it is missing, build the recorded older version, then run 1,000 seeds of the
    /// simulation and the long tests, which take minutes each
    Soak {
        /// Only tests whose names contain one of these; `simulate` selects the simulation
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
        Command::Release => {
            release::run(&workspace)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Fix => Ok(exit_code(verify::fix(&workspace)?)),
        Command::Test { filters } if filters.first().is_some_and(|first| first == "cluster") => {
            let chosen = filters.get(1..).unwrap_or_default();
            suite::run(&workspace, &tools::provide(&workspace, false)?, Suite::Scenarios, chosen)
        }
        Command::Test { filters } if filters.first().is_some_and(|first| first == "hostile") => {
            let chosen = filters.get(1..).unwrap_or_default();
            suite::run(&workspace, &tools::provide(&workspace, false)?, Suite::Floods, chosen)
        }
        Command::Test { filters } => {
            let environment = tools::provide(&workspace, false)?;
            if !verify::run(&workspace, &[], false)? {
                say("test: no test was run, because verify failed (`cargo xtask fix` repairs format and some lints)");
                return Ok(ExitCode::FAILURE);
            }
            // The simulation runs first, so that the runner's closing line stays the last one, whatever it finds.
            let simulated = match filters.as_slice() {
                [] => simulate::run(&workspace, &Simulate::for_minutes(SIMULATED_MINUTES)),
                _ => ExitCode::SUCCESS,
            };
            Ok(first_failure(suite::run(&workspace, &environment, Suite::Tests, &filters)?, simulated))
        }
        Command::Simulate(arguments) => Ok(simulate::run(&workspace, &arguments)),
        Command::Golden { command } => golden::run(&workspace, &command).map(|()| ExitCode::SUCCESS),
        Command::Soak { filters } => soak(&workspace, &filters),
    }
}

fn soak(workspace: &Workspace, filters: &[String]) -> Result<ExitCode> {
    let (simulation, tests) = parts_of_soak(filters);
    let simulate = || {
        let arguments = Simulate::at_random(SOAKED_SEEDS);
        say(format_args!("soak: {} ...", arguments.command()));
        simulate::run(workspace, &arguments)
    };
    let Some(filters) = tests else { return Ok(simulate()) };
    let program = previous::build(workspace)?;
    say(format_args!("soak: `cargo xtask test cluster` upgrades from {}", program.display()));
    let environment = tools::provide(workspace, true)?;
    let simulated = if simulation { simulate() } else { ExitCode::SUCCESS };
    Ok(first_failure(suite::run(workspace, &environment, Suite::Soaks, &filters)?, simulated))
}

/// Whether the simulation runs, and the filters of the long tests; `None` where the long tests do not run.
fn parts_of_soak(filters: &[String]) -> (bool, Option<Vec<String>>) {
    let tests: Vec<_> = filters.iter().filter(|filter| *filter != SIMULATION).cloned().collect();
    let simulation = filters.is_empty() || tests.len() < filters.len();
    (simulation, Some(tests).filter(|tests| filters.is_empty() || !tests.is_empty()))
}

fn exit_code(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first of the two exit codes that is not success.
fn first_failure(one: ExitCode, other: ExitCode) -> ExitCode {
    if one == ExitCode::SUCCESS { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_is_the_simulation_and_the_long_tests_or_what_the_filters_name() {
        let parts = |filters: &[&str]| {
            let filters: Vec<_> = filters.iter().map(|filter| (*filter).to_owned()).collect();
            let (simulation, tests) = parts_of_soak(&filters);
            (simulation, tests.map(|tests| tests.join(" ")))
        };
        assert_eq!(parts(&[]), (true, Some(String::new())));
        assert_eq!(parts(&["simulate"]), (true, None));
        assert_eq!(parts(&["soak_fleet", "simulate"]), (true, Some("soak_fleet".to_owned())));
        assert_eq!(parts(&["soak_fleet"]), (false, Some("soak_fleet".to_owned())));
    }

    #[test]
    fn a_finding_of_the_simulation_fails_tests_that_pass_and_hides_no_code_of_the_runner() {
        let runner = ExitCode::from(100);
        assert_eq!(first_failure(ExitCode::SUCCESS, ExitCode::FAILURE), ExitCode::FAILURE);
        assert_eq!(first_failure(runner, ExitCode::FAILURE), runner);
        assert_eq!(first_failure(ExitCode::SUCCESS, ExitCode::SUCCESS), ExitCode::SUCCESS);
    }
}
