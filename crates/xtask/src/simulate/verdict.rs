//! Judges whether a seed passed; a kept seed may be expected to fail.

use std::collections::BTreeMap;

use crate::simulate::kept::{FILE, Kept};
use crate::simulate::plan::Job;
use crate::simulate::program::{Failure, Run};

/// The kind of the finding for a kept seed that passed although it was expected to fail.
const PASSED_UNEXPECTEDLY: &str = "passed_unexpectedly";

/// A seed that ran, and its verdict.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    pub(crate) job: Job,
    /// How much virtual time passed, in seconds; 0 where the simulation ended without a result.
    pub(crate) virtual_seconds: f64,
    /// How often each fault was injected.
    pub(crate) faults: BTreeMap<String, u64>,
    /// The cases whose known violations the seed showed.
    pub(crate) known: Vec<u64>,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Passed,
    /// A kept seed that failed because of its case, which has not been corrected yet.
    ExpectedFailure {
        case: u64,
        /// `None` where the simulation itself lists the case's violation as known.
        failure: Option<Failure>,
    },
    Finding(Failure),
}

impl Judged {
    /// The failure that is reported and fails the command, if any.
    pub(crate) fn finding(&self) -> Option<&Failure> {
        match &self.verdict {
            Verdict::Finding(failure) => Some(failure),
            Verdict::Passed | Verdict::ExpectedFailure { .. } => None,
        }
    }
}

/// Judges a seed by the result of its process. A simulation that ended without a result is a finding, whatever was
/// expected.
pub(crate) fn judge(job: Job, ended: Result<Run, Failure>) -> Judged {
    match ended {
        Ok(run) => {
            let mut known: Vec<_> = run.known.iter().map(|known| known.case).collect();
            known.sort_unstable();
            known.dedup();
            let verdict = match job.kept.as_ref().and_then(|kept| Some((kept, kept.case?))) {
                Some((kept, case)) => expected_to_fail(kept, case, &known, run.failure, run.virtual_seconds),
                None => run.failure.map_or(Verdict::Passed, Verdict::Finding),
            };
            Judged { virtual_seconds: run.virtual_seconds, faults: run.faults, known, verdict, job }
        }
        Err(failure) => Judged {
            virtual_seconds: 0.0,
            faults: BTreeMap::new(),
            known: Vec::new(),
            verdict: Verdict::Finding(failure),
            job,
        },
    }
}

fn expected_to_fail(kept: &Kept, case: u64, known: &[u64], failure: Option<Failure>, at_seconds: f64) -> Verdict {
    if failure.is_some() || known.contains(&case) {
        return Verdict::ExpectedFailure { case, failure };
    }
    Verdict::Finding(Failure {
        kind: PASSED_UNEXPECTEDLY.to_owned(),
        at_seconds: Some(at_seconds),
        expected: format!("a failure because of case {case}, for which the seed is kept: {}", kept.found),
        found: format!("no failure: case {case} is fixed, so remove `case = {case}` from this seed in {FILE}"),
        last_events: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::program::Known;

    fn failure() -> Failure {
        Failure {
            kind: "stale_read".to_owned(),
            at_seconds: Some(1.5),
            expected: "count 4".to_owned(),
            found: "count 3".to_owned(),
            last_events: Vec::new(),
        }
    }

    fn run(known: &[u64], failure: Option<Failure>) -> Run {
        let known = known.iter().map(|case| Known { case: *case }).collect();
        Run { seed: 7, virtual_seconds: 600.0, faults: BTreeMap::new(), known, failure }
    }

    fn job(case: Option<u64>) -> Job {
        Job::kept(Kept { seed: 7, found: "an early expiry".to_owned(), scenario: None, case })
    }

    #[test]
    fn a_known_violation_is_no_failure() {
        let judged = judge(job(None), Ok(run(&[3, 2, 3], None)));
        assert_eq!((judged.verdict, judged.known), (Verdict::Passed, vec![2, 3]));
    }

    #[test]
    fn a_kept_seed_with_a_case_is_expected_to_fail() {
        let expected = |failure| Verdict::ExpectedFailure { case: 2, failure };
        assert_eq!(judge(job(Some(2)), Ok(run(&[], Some(failure())))).verdict, expected(Some(failure())));
        assert_eq!(judge(job(Some(2)), Ok(run(&[2], None))).verdict, expected(None));
        for known in [&[][..], &[3]] {
            let judged = judge(job(Some(2)), Ok(run(known, None)));
            let finding = judged.finding().unwrap();
            assert_eq!((finding.kind.as_str(), finding.at_seconds), (PASSED_UNEXPECTEDLY, Some(600.0)));
            assert!(finding.found.contains("remove `case = 2`"), "{}", finding.found);
        }
    }

    #[test]
    fn a_failure_or_an_end_by_itself_is_a_finding() {
        assert_eq!(judge(Job::new(7), Ok(run(&[], Some(failure())))).finding(), Some(&failure()));
        assert_eq!(judge(job(None), Ok(run(&[], Some(failure())))).finding(), Some(&failure()));
        assert_eq!(judge(job(Some(2)), Err(failure())).finding(), Some(&failure()));
    }
}
