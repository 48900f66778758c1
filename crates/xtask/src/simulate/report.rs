//! The result of a run, as `--json` prints it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::simulate::program::{Failure, Listing};
use crate::simulate::verdict::{Judged, Verdict};

/// The summary of all seeds that ran.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    /// How many seeds ran, kept ones included.
    pub(crate) seeds: usize,
    /// The virtual time of all simulations together, in hours.
    pub(crate) virtual_hours: f64,
    /// How long the seeds took in real time, without the build, in seconds.
    pub(crate) wall_seconds: f64,
    /// How often each fault was injected; 0 for a fault that was not.
    pub(crate) faults: BTreeMap<&'a str, u64>,
    /// Kept seeds that failed because of a case that has not been corrected yet.
    pub(crate) expected_failures: Vec<Expected>,
    pub(crate) failures: Vec<Finding<'a>>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Expected {
    pub(crate) case: u64,
    pub(crate) seed: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Finding<'a> {
    pub(crate) seed: u64,
    #[serde(flatten)]
    pub(crate) failure: Shown<'a>,
    /// The command that runs the seed again and writes a trace.
    pub(crate) replay: String,
}

/// A failure in the form in which it is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'a> {
    pub(crate) kind: &'a str,
    pub(crate) at_seconds: Option<f64>,
    pub(crate) expected: &'a str,
    pub(crate) found: &'a str,
    pub(crate) last_events: &'a [String],
}

/// The results for all planted bugs.
#[derive(Debug, Serialize)]
pub(crate) struct Plants<'a> {
    pub(crate) plants: Vec<Planted<'a>>,
}

/// The result for one planted bug.
#[derive(Debug, Serialize)]
pub(crate) struct Planted<'a> {
    pub(crate) bug: &'a str,
    pub(crate) found: bool,
    /// How many seeds ran until the bug was found, in the order of the seeds; all, where it was not found.
    pub(crate) seeds: usize,
    /// The kind of the finding; `None` where there was no finding.
    pub(crate) kind: Option<String>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(listing: &'a Listing, judged: &'a [Judged], wall: Duration) -> Self {
        let mut faults: BTreeMap<&str, u64> = listing.faults.iter().map(|fault| (fault.as_str(), 0)).collect();
        for (fault, times) in judged.iter().flat_map(|judged| &judged.faults) {
            *faults.entry(fault).or_default() += times;
        }
        let virtual_seconds: f64 = judged.iter().map(|judged| judged.virtual_seconds).sum();
        Self {
            seeds: judged.len(),
            virtual_hours: thousandths(virtual_seconds / 3600.0),
            wall_seconds: thousandths(wall.as_secs_f64()),
            faults,
            expected_failures: judged.iter().filter_map(expected).collect(),
            failures: judged.iter().filter_map(finding).collect(),
        }
    }
}

impl<'a> From<&'a Failure> for Shown<'a> {
    fn from(failure: &'a Failure) -> Self {
        let Failure { kind, at_seconds, expected, found, last_events } = failure;
        Self { kind, at_seconds: *at_seconds, expected, found, last_events }
    }
}

fn expected(judged: &Judged) -> Option<Expected> {
    match judged.verdict {
        Verdict::ExpectedFailure { case, .. } => Some(Expected { case, seed: judged.job.seed }),
        Verdict::Passed | Verdict::Finding(_) => None,
    }
}

fn finding(judged: &Judged) -> Option<Finding<'_>> {
    let failure = judged.finding()?;
    Some(Finding { seed: judged.job.seed, failure: failure.into(), replay: judged.job.replay() })
}

fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::kept::Kept;
    use crate::simulate::plan::Job;
    use serde_json::json;

    fn judged(job: Job, verdict: Verdict) -> Judged {
        let faults = [("crash".to_owned(), 2), ("unlisted".to_owned(), 1)].into();
        Judged { job, virtual_seconds: 612.5, faults, known: Vec::new(), verdict }
    }

    fn failure(at_seconds: Option<f64>) -> Failure {
        Failure {
            kind: "stale_read".to_owned(),
            at_seconds,
            expected: "count 4".to_owned(),
            found: "count 3".to_owned(),
            last_events: vec!["311.105 node 2 restarts".to_owned()],
        }
    }

    #[test]
    fn a_report_is_one_object_with_numbers_as_numbers() {
        let listing = Listing { faults: vec!["partition".to_owned(), "crash".to_owned()], plants: Vec::new() };
        let kept = Kept { seed: 1234, found: "x".to_owned(), scenario: None, case: Some(2) };
        let all = [
            judged(Job::kept(kept), Verdict::ExpectedFailure { case: 2, failure: None }),
            judged(Job::new(1), Verdict::Passed),
            judged(Job::new(2), Verdict::Finding(failure(Some(311.2)))),
            judged(Job::with_plant(3, "skipped_fsync"), Verdict::Finding(failure(None))),
        ];
        let report = Report::new(&listing, &all, Duration::from_micros(2_345_678));
        let finding = |seed: u64, at_seconds: Option<f64>, replay: &str| {
            json!({"seed": seed, "kind": "stale_read", "at_seconds": at_seconds, "expected": "count 4",
                "found": "count 3", "last_events": ["311.105 node 2 restarts"], "replay": replay})
        };
        let expected = json!({
            "seeds": 4,
            "virtual_hours": 0.681,
            "wall_seconds": 2.346,
            "faults": {"crash": 8, "partition": 0, "unlisted": 4},
            "expected_failures": [{"case": 2, "seed": 1234}],
            "failures": [
                finding(2, Some(311.2), "cargo xtask simulate --seed 2 --trace trace.txt"),
                finding(3, None, "cargo xtask simulate --plant skipped_fsync --seed 3 --trace trace.txt"),
            ],
        });
        assert_eq!(serde_json::to_value(&report).unwrap(), expected);
    }

    #[test]
    fn planted_bugs_are_one_object() {
        let found = Planted { bug: "skipped_fsync", found: true, seeds: 4, kind: Some("acknowledged_lost".to_owned()) };
        let missed = Planted { bug: "stale_lease", found: false, seeds: 20, kind: None };
        let expected = json!({"plants": [
            {"bug": "skipped_fsync", "found": true, "seeds": 4, "kind": "acknowledged_lost"},
            {"bug": "stale_lease", "found": false, "seeds": 20, "kind": null},
        ]});
        assert_eq!(serde_json::to_value(Plants { plants: vec![found, missed] }).unwrap(), expected);
    }
}
