//! The findings of checks.

use crate::remedy::Remedy;

/// The result of a check, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The check passed.
    Ok,
    /// The check could not be evaluated, so it is unknown whether it would pass.
    Unknown,
    /// Service continues; it will fail later, or a part of it fails already.
    Warning,
    /// Clients are not served, or will not be after the next failure.
    Failure,
}

impl Verdict {
    /// The printed name: `ok`, `unknown`, `warning`, `failure`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// One line of a report: a check that passed, or one problem that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the check.
    pub check: &'static str,
    /// The result of the check.
    pub verdict: Verdict,
    /// What was found.
    pub text: String,
    /// The remedy; empty where the check passed.
    pub remedy: Remedy,
}

/// A problem that a check found, without the check's name.
#[derive(Debug)]
pub(crate) struct Problem {
    verdict: Verdict,
    text: String,
    remedy: Remedy,
}

impl Problem {
    pub(crate) fn new(verdict: Verdict, text: impl Into<String>, remedy: impl Into<Remedy>) -> Self {
        Self { verdict, text: text.into(), remedy: remedy.into() }
    }

    pub(crate) fn unknown(text: impl Into<String>, remedy: impl Into<Remedy>) -> Self {
        Self::new(Verdict::Unknown, text, remedy)
    }

    pub(crate) fn warning(text: impl Into<String>, remedy: impl Into<Remedy>) -> Self {
        Self::new(Verdict::Warning, text, remedy)
    }

    pub(crate) fn failure(text: impl Into<String>, remedy: impl Into<Remedy>) -> Self {
        Self::new(Verdict::Failure, text, remedy)
    }
}

/// Findings of one check: one for each problem, or one with the text `passed` where there is none.
pub(crate) fn findings(check: &'static str, passed: impl Into<String>, problems: Vec<Problem>) -> Vec<Finding> {
    if problems.is_empty() {
        return vec![Finding { check, verdict: Verdict::Ok, text: passed.into(), remedy: Remedy::default() }];
    }
    let findings = problems.into_iter();
    findings.map(|Problem { verdict, text, remedy }| Finding { check, verdict, text, remedy }).collect()
}

/// For the tests of all checks.
#[cfg(test)]
pub(crate) mod expect {
    use super::*;

    /// Asserts that every check passed, with one finding each, and that the names are distinct.
    pub(crate) fn all_passed(findings: &[Finding]) {
        let passed = |finding: &Finding| finding.verdict == Verdict::Ok && finding.remedy.is_empty();
        assert!(findings.iter().all(passed), "{findings:?}");
        let names: std::collections::BTreeSet<_> = findings.iter().map(|finding| finding.check).collect();
        assert_eq!(names.len(), findings.len(), "{findings:?}");
    }

    /// Asserts that the check found a problem with this verdict and a remedy that contains this text.
    pub(crate) fn found(findings: &[Finding], check: &str, verdict: Verdict, remedy: &str) {
        let is_it = |finding: &&Finding| {
            finding.check == check && finding.verdict == verdict && finding.remedy.text().contains(remedy)
        };
        assert!(findings.iter().any(|finding| is_it(&finding)), "{check}, {remedy}: {findings:?}");
    }
}
