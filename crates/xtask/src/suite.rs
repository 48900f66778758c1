//! Runs the tests: documentation tests first, then the runner, whose closing line is printed last.

use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result};

use crate::cargo::Workspace;
use crate::output::say;
use crate::tools::TestEnvironment;
use crate::{figures, previous};

/// Tests whose names contain this run alone on the machine. nextest is configured for this in its own configuration.
const ALONE: &str = "machine_";

/// Tests whose names contain this take minutes, and run only on request.
const SOAK: &str = "soak_";

/// Tests whose names contain this inject faults into a cluster under load. They run alone and only on request.
const SCENARIO: &str = "scenario_";

/// The only test binary with scenarios: no other binary is built, and filters select tests of it.
const SCENARIOS: [&str; 2] = ["--test", "scenarios"];

/// Tests whose names contain this flood the nodes with connections. They run alone and only on request.
const FLOOD: &str = "hostile_";

/// The only test binary with floods.
const FLOODS: [&str; 2] = ["--test", "hostile"];

/// Which tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    /// All tests except the soaks, the scenarios and the floods.
    Tests,
    Soaks,
    Scenarios,
    Floods,
}

/// Environment variable with the path of the recorded older version's program, for the scenarios that upgrade from
/// it.
const PREVIOUS_VERSION: &str = "QUORATE_TEST_PREVIOUS_VERSION";

const TESTS: [&str; 2] = ["test", "--tests"];

/// Arguments that leave the long tests out of the usual run.
const LONG: [&str; 6] = ["--skip", SOAK, "--skip", SCENARIO, "--skip", FLOOD];

const EVERYTHING: [&str; 3] = ["--workspace", "--all-features", "--no-fail-fast"];

/// Runs the tests. The exit code is the runner's, or failure where only something before it failed.
pub(crate) fn run(
    workspace: &Workspace,
    environment: &TestEnvironment,
    suite: Suite,
    filters: &[String],
) -> Result<ExitCode> {
    let nextest = has_nextest(workspace);
    let mut code = 0;
    let runs = match suite {
        Suite::Tests => runs(nextest, filters),
        Suite::Soaks => vec![named(nextest, "soak", &[], SOAK, filters)],
        Suite::Scenarios => vec![named(nextest, "cluster", &SCENARIOS, SCENARIO, filters)],
        Suite::Floods => vec![named(nextest, "hostile", &FLOODS, FLOOD, filters)],
    };
    let figures = figures::Folder::emptied(workspace)?;
    for arguments in runs {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        say(format_args!("test: cargo {} ...", arguments.join(" ")));
        let mut command = workspace.cargo(&arguments);
        command.env(figures::VARIABLE, figures.path()).env(PREVIOUS_VERSION, previous::program(workspace));
        let status = in_environment(&mut command, environment).status().context("cargo could not be started")?;
        code = combined(code, exit_code(status));
    }
    if let Some(table) = figures.table()? {
        say(table);
    }
    if suite == Suite::Scenarios && !previous::program(workspace).exists() {
        say("test: the upgrade from the recorded version and back did NOT run, because that version is not built: \
             `cargo xtask golden build` builds it (as `cargo xtask soak` does)");
    }
    Ok(ExitCode::from(code))
}

/// cargo's arguments, one list for each run. The last run is the runner's.
///
/// Without nextest, the tests that need the machine alone get a run of their own, one test after the other. `--skip`
/// and filters of the standard runner match any part of the name, so a `state_machine_...` is among them: each test
/// runs in exactly one of the two runs.
fn runs(nextest: bool, filters: &[String]) -> Vec<Vec<String>> {
    let list = |parts: &[&[&str]]| -> Vec<String> {
        parts.concat().into_iter().map(str::to_owned).chain(filters.iter().cloned()).collect()
    };
    let mut runs = vec![list(&[&["test", "--doc"], &EVERYTHING, &["--"]])];
    if nextest {
        runs.push(list(&[&["nextest", "run"], &EVERYTHING]));
    } else if filters.is_empty() {
        runs.push(list(&[&TESTS, &EVERYTHING, &["--", "--test-threads=1"], &LONG, &[ALONE]]));
        runs.push(list(&[&TESTS, &EVERYTHING, &["--"], &LONG, &["--skip", ALONE]]));
    } else {
        runs.push(list(&[&TESTS, &EVERYTHING, &["--", "--test-threads=1"], &LONG]));
    }
    runs
}

/// cargo's arguments for the tests with such names, which have their own profile; the filters select some of them.
/// Without a named binary, all test binaries are searched.
fn named(nextest: bool, profile: &str, binary: &[&str], name: &str, filters: &[String]) -> Vec<String> {
    let runner: &[&str] = match (nextest, binary) {
        (true, _) => &["nextest", "run", "--profile", profile],
        (false, []) => &TESTS,
        (false, _) => &["test"],
    };
    let mut words: Vec<_> = [runner, &EVERYTHING, binary].concat().into_iter().map(str::to_owned).collect();
    if !nextest {
        words.extend(["--".to_owned(), "--test-threads=1".to_owned()]);
    }
    if nextest || !filters.is_empty() {
        words.extend(filters.iter().cloned());
    } else {
        words.push(name.to_owned());
    }
    words
}

fn in_environment<'a>(command: &'a mut Command, environment: &TestEnvironment) -> &'a mut Command {
    command.env("QUORATE_TEST_PYTHON", &environment.python).env("PATH", &environment.path)
}

fn has_nextest(workspace: &Workspace) -> bool {
    let mut probe = workspace.cargo(&["nextest", "--version"]);
    probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The runner's exit code; 1 where the runner was killed by a signal.
fn exit_code(status: ExitStatus) -> u8 {
    status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1))
}

/// The last failure's exit code.
fn combined(earlier: u8, last: u8) -> u8 {
    if last == 0 { earlier } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(nextest: bool, filters: &[&str]) -> Vec<String> {
        let filters: Vec<_> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        runs(nextest, &filters).iter().map(|run| run.join(" ")).collect()
    }

    #[test]
    fn documentation_tests_come_first_and_the_runner_last() {
        let all = "--workspace --all-features --no-fail-fast";
        assert_eq!(lines(true, &[]), [format!("test --doc {all} --"), format!("nextest run {all}")]);
        assert_eq!(lines(true, &["a", "b"]), [format!("test --doc {all} -- a b"), format!("nextest run {all} a b")]);
    }

    #[test]
    fn without_nextest_tests_that_need_the_machine_run_one_at_a_time() {
        let runs = lines(false, &[]);
        assert!(runs[1].ends_with("-- --test-threads=1 --skip soak_ --skip scenario_ --skip hostile_ machine_"));
        assert!(runs[2].ends_with("-- --skip soak_ --skip scenario_ --skip hostile_ --skip machine_"));
        let filtered = lines(false, &["r10_"]);
        assert!(filtered.len() == 2 && filtered[1].ends_with("--skip soak_ --skip scenario_ --skip hostile_ r10_"));
    }

    #[test]
    fn soaks_are_a_run_of_their_own() {
        let line = |nextest, filters: &[&str]| {
            let filters: Vec<_> = filters.iter().map(|filter| (*filter).to_owned()).collect();
            named(nextest, "soak", &[], SOAK, &filters).join(" ")
        };
        let all = "--workspace --all-features --no-fail-fast";
        assert_eq!(line(true, &[]), format!("nextest run --profile soak {all}"));
        assert_eq!(line(true, &["soak_fleet"]), format!("nextest run --profile soak {all} soak_fleet"));
        assert_eq!(line(false, &[]), format!("test --tests {all} -- --test-threads=1 soak_"));
        assert_eq!(line(false, &["soak_fleet"]), format!("test --tests {all} -- --test-threads=1 soak_fleet"));
    }

    #[test]
    fn scenarios_are_a_run_of_one_binary() {
        let line = |nextest, filters: &[&str]| {
            let filters: Vec<_> = filters.iter().map(|filter| (*filter).to_owned()).collect();
            named(nextest, "cluster", &SCENARIOS, SCENARIO, &filters).join(" ")
        };
        let one = "--workspace --all-features --no-fail-fast --test scenarios";
        assert_eq!(line(true, &[]), format!("nextest run --profile cluster {one}"));
        assert_eq!(line(true, &["isolated"]), format!("nextest run --profile cluster {one} isolated"));
        assert_eq!(line(false, &[]), format!("test {one} -- --test-threads=1 scenario_"));
        assert_eq!(line(false, &["isolated"]), format!("test {one} -- --test-threads=1 isolated"));
    }

    #[test]
    fn floods_are_a_run_of_one_binary() {
        let line = |filters: &[&str]| {
            let filters: Vec<_> = filters.iter().map(|filter| (*filter).to_owned()).collect();
            named(true, "hostile", &FLOODS, FLOOD, &filters).join(" ")
        };
        let one = "nextest run --profile hostile --workspace --all-features --no-fail-fast --test hostile";
        assert_eq!((line(&[]), line(&["1690"])), (one.to_owned(), format!("{one} 1690")));
    }

    #[test]
    fn any_failure_is_a_failure_and_the_runners_own_code_wins() {
        let table = [(0, 0, 0), (101, 0, 101), (0, 100, 100), (101, 100, 100)];
        for (earlier, last, code) in table {
            assert_eq!(combined(earlier, last), code);
        }
    }
}
