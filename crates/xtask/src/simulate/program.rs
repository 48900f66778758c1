//! Calls the program `simulation` and reads its output. One process runs one seed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, de::DeserializeOwned};

use crate::cargo::Workspace;
use crate::simulate::plan::Job;

/// The kind of a finding where the simulation gave no judgement: it crashed, or its output is no result.
pub(crate) const ENDED_BY_ITSELF: &str = "ended_by_itself";

/// The most events, or lines of stderr, that are shown before a finding.
pub(crate) const MOST_EVENTS: usize = 30;

const BUILD: &[&str] = &["build", "--quiet", "--workspace", "--all-features", "--bin", "simulation"];

/// Path of the built program.
pub(crate) struct Program(pub(crate) PathBuf);

/// What the program can inject and plant: the output of `simulation list`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Listing {
    /// The kinds of faults that it can inject.
    pub(crate) faults: Vec<String>,
    /// The bugs that it can plant.
    pub(crate) plants: Vec<Plant>,
}

/// A bug that the simulation can plant, to show that the oracle finds it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Plant {
    pub(crate) bug: String,
    /// Within how many seeds the bug has to be found.
    pub(crate) seeds_max: u64,
}

/// The result of one seed: the output of `simulation run`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    /// How much virtual time passed, in seconds.
    pub(crate) virtual_seconds: f64,
    /// How often each fault was injected.
    pub(crate) faults: BTreeMap<String, u64>,
    /// Violations of promises that the product is known to break today. They do not fail the run.
    pub(crate) known: Vec<Known>,
    pub(crate) failure: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Known {
    /// Number of the case.
    pub(crate) case: u64,
}

/// A violated promise of the product, or a simulation that ended without a result.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    /// Virtual time of the failure, in seconds; `None` where the simulation ended without a result.
    pub(crate) at_seconds: Option<f64>,
    /// What the oracle expected.
    pub(crate) expected: String,
    /// What it found instead.
    pub(crate) found: String,
    /// The last events before the failure, oldest first; where the simulation ended without a result, lines of its
    /// stderr.
    pub(crate) last_events: Vec<String>,
}

impl Program {
    /// Builds the program. cargo's output goes to stderr.
    pub(crate) fn built(workspace: &Workspace) -> Result<Self> {
        let mut command = workspace.cargo(BUILD);
        let status = command.stdout(std::io::stderr()).status().context("cargo could not be started")?;
        if !status.success() {
            bail!("cargo {} failed ({status}), see its output above", BUILD.join(" "));
        }
        Ok(Self(workspace.target.join("debug/simulation")))
    }

    /// Reads from the program which faults and bugs it has.
    pub(crate) fn list(&self) -> Result<Listing> {
        let asked = format!("{} list", self.0.display());
        let output = self.output(&["list".into()]).with_context(|| format!("{asked} could not be started"))?;
        if !output.status.success() {
            bail!("{asked} failed ({}): {}", output.status, last_lines(&output.stderr).join("\n"));
        }
        parsed(&output.stdout).with_context(|| format!("{asked} printed something unexpected"))
    }

    /// Runs one seed to its end. The error is a finding: the simulation ended without a result.
    pub(crate) fn run(&self, job: &Job) -> Result<Run, Failure> {
        match self.output(&job.arguments()) {
            Ok(output) => judged(job, &output).map_err(|reason| ended_by_itself(reason, &output.stderr)),
            Err(error) => Err(ended_by_itself(format!("{} could not be started: {error}", self.0.display()), &[])),
        }
    }

    fn output(&self, arguments: &[OsString]) -> std::io::Result<Output> {
        Command::new(&self.0).args(arguments).stdin(Stdio::null()).output()
    }
}

/// The result that the simulation printed, or the reason why there is none.
fn judged(job: &Job, output: &Output) -> Result<Run, String> {
    let code = output.status.code().filter(|code| matches!(code, 0 | 1));
    let code = code.ok_or_else(|| output.status.to_string())?;
    let run: Run = parsed(&output.stdout).map_err(|error| format!("unreadable output: {error:#}"))?;
    if run.seed != job.seed {
        return Err(format!("it reported seed {} instead", run.seed));
    }
    if run.failure.is_some() != (code == 1) {
        let failure = if run.failure.is_some() { "a failure" } else { "no failure" };
        return Err(format!("it reported {failure} with exit code {code}"));
    }
    let failure = run.failure.map(|mut failure| {
        let more = failure.last_events.len().saturating_sub(MOST_EVENTS);
        failure.last_events.drain(..more);
        failure
    });
    Ok(Run { failure, ..run })
}

fn parsed<T: DeserializeOwned>(stdout: &[u8]) -> Result<T> {
    let text = str::from_utf8(stdout).context("not UTF-8")?;
    serde_json::from_str(text).with_context(|| {
        let begin: String = text.chars().take(200).collect();
        format!("not the JSON object that was expected: {begin:?}")
    })
}

fn ended_by_itself(reason: String, stderr: &[u8]) -> Failure {
    Failure {
        kind: ENDED_BY_ITSELF.to_owned(),
        at_seconds: None,
        expected: "the simulation prints its result and exits with 0 or 1".to_owned(),
        found: format!("the simulation ended by itself: {reason}"),
        last_events: last_lines(stderr),
    }
}

/// The last lines, or all lines from the last panic on, because a backtrace may be longer.
fn last_lines(stderr: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<_> = text.lines().collect();
    let last = lines.len().saturating_sub(MOST_EVENTS);
    let panic = lines.iter().rposition(|line| line.contains("panicked at")).unwrap_or(last);
    lines.into_iter().skip(panic.min(last)).take(MOST_EVENTS).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    /// `status` in the kernel's encoding: exit code times 256, or the number of a signal.
    fn output(status: i32, stdout: &str, stderr: &str) -> Output {
        Output { status: ExitStatus::from_raw(status), stdout: stdout.into(), stderr: stderr.into() }
    }

    const PASSED: &str = r#"{"seed":7,"plant":null,"scenario":null,"virtual_seconds":612.5,"nodes":3,
        "faults":{"partition":3},"known":[{"case":2,"kind":"expired_early"}],"failure":null}"#;

    fn failed(events: usize) -> String {
        let events: Vec<_> = (0..events).map(|number| format!("\"event {number}\"")).collect();
        let failure = format!(
            r#"{{"kind":"stale_read","at_seconds":311.2,"expected":"count 4","found":"count 3","last_events":[{}]}}"#,
            events.join(",")
        );
        PASSED.replace(r#""failure":null"#, &format!("\"failure\":{failure}"))
    }

    #[test]
    fn the_result_is_what_the_program_printed() {
        let run = judged(&Job::new(7), &output(0, PASSED, "")).unwrap();
        assert_eq!((run.virtual_seconds, run.faults["partition"], run.known[0].case), (612.5, 3, 2));
        let failure = judged(&Job::new(7), &output(256, &failed(2), "")).unwrap().failure.unwrap();
        assert_eq!((failure.kind.as_str(), failure.at_seconds), ("stale_read", Some(311.2)));
        assert_eq!(failure.last_events, ["event 0", "event 1"]);
    }

    #[test]
    fn only_the_last_events_are_kept() {
        let failure = judged(&Job::new(7), &output(256, &failed(40), "")).unwrap().failure.unwrap();
        assert_eq!((failure.last_events.len(), failure.last_events[0].as_str()), (MOST_EVENTS, "event 10"));
        let stderr: String = (0..40).map(|line| format!("line {line}\n")).collect();
        assert_eq!(last_lines(stderr.as_bytes()).first().map(String::as_str), Some("line 10"));
        let panic = last_lines(format!("before\nthread 'main' panicked at src/main.rs:1:1\n{stderr}").as_bytes());
        assert!(panic.len() == MOST_EVENTS && panic[0].starts_with("thread 'main' panicked"), "{panic:?}");
    }

    #[test]
    fn anything_else_is_an_end_by_itself() {
        let (failed, two) = (failed(1), format!("{PASSED}\n{PASSED}"));
        let table = [
            (9, "", "signal: 9 (SIGKILL)"),
            (2 * 256, PASSED, "exit status: 2"),
            (101 * 256, "", "exit status: 101"),
            (0, "nonsense", "unreadable output"),
            (0, "", "unreadable output"),
            (0, &two, "unreadable output"),
            (256, PASSED, "no failure with exit code 1"),
            (0, &failed, "a failure with exit code 0"),
        ];
        for (status, stdout, reason) in table {
            let found = judged(&Job::new(7), &output(status, stdout, "")).unwrap_err();
            assert!(found.contains(reason), "{status} {stdout}: {found}");
        }
        assert!(judged(&Job::new(8), &output(0, PASSED, "")).unwrap_err().contains("seed 7 instead"));
    }

    #[test]
    fn a_program_that_is_not_there_is_a_finding() {
        let failure = Program("/nowhere/simulation".into()).run(&Job::new(1)).unwrap_err();
        assert_eq!(failure.kind, ENDED_BY_ITSELF);
        assert!(failure.found.contains("could not be started"), "{}", failure.found);
    }
}
