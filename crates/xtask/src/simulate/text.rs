//! The result of a run as text: what was simulated, and each finding with all that is needed to examine it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::simulate::plan::Job;
use crate::simulate::program::{ENDED_BY_ITSELF, Failure};
use crate::simulate::report::{Planted, Report};
use crate::simulate::verdict::{Judged, Verdict};

/// Line width in columns. Only events and output lines of the simulation itself may be longer.
const WIDTH: usize = 80;

/// The summary, then every finding. With `in_full` also every expected failure, as for a single seed.
pub(crate) fn report(report: &Report<'_>, judged: &[Judged], in_full: bool) -> String {
    let times = report.virtual_hours * 3600.0 / report.wall_seconds.max(0.001);
    let mut text = format!(
        "simulate: {} {}, {} virtual hours in {:.1} s ({times:.0} times real time)",
        report.seeds,
        noun(report.seeds),
        report.virtual_hours,
        report.wall_seconds,
    );
    text.push_str(&faults(&report.faults));
    let expected =
        report.expected_failures.iter().map(|expected| format!("case {} (seed {})", expected.case, expected.seed));
    text.push_str(&labelled("expected failures: ", &expected.collect::<Vec<_>>()));
    text.push_str(&labelled("known violations, which fail no seed: ", &known(judged)));
    let findings: String = judged.iter().filter_map(|judged| shown(judged, in_full)).collect();
    text.push_str(&findings);
    let verdict = match report.failures.len() {
        0 => "passed".to_owned(),
        failures => format!("failed: {failures} of {} {}", report.seeds, noun(report.seeds)),
    };
    text.push_str(if findings.is_empty() { "" } else { "\n" });
    let _ = write!(text, "\nsimulate: {verdict}");
    text
}

/// One line for each planted bug; then in full each simulation that ended without a result.
pub(crate) fn plants(plants: &[Planted<'_>], ended_by_themselves: &[Judged]) -> String {
    let width = plants.iter().map(|plant| plant.bug.chars().count()).max().unwrap_or(0);
    let mut text = "planted bugs:".to_owned();
    for Planted { bug, found, seeds, kind } in plants {
        let found = if *found { "found after" } else { "NOT found in" };
        let kind = kind.as_ref().map(|kind| format!(": {kind}")).unwrap_or_default();
        let _ = write!(text, "\n  {bug:<width$}  {found} {seeds} {}{kind}", noun(*seeds));
    }
    for judged in ended_by_themselves {
        if let Some(failure) = judged.finding() {
            text.push_str(&finding(&judged.job, failure, "failed"));
        }
    }
    let found = plants.iter().filter(|plant| plant.found).count();
    let verdict = if found == plants.len() { "passed" } else { "failed" };
    text.push_str(if ended_by_themselves.is_empty() { "" } else { "\n" });
    let _ = write!(text, "\nsimulate: {verdict}: {found} of {} planted bugs found", plants.len());
    text
}

fn shown(judged: &Judged, in_full: bool) -> Option<String> {
    match &judged.verdict {
        Verdict::Finding(failure) => Some(finding(&judged.job, failure, "failed")),
        Verdict::ExpectedFailure { failure: Some(failure), .. } if in_full => {
            Some(finding(&judged.job, failure, "failed as expected"))
        }
        Verdict::ExpectedFailure { .. } | Verdict::Passed => None,
    }
}

fn finding(job: &Job, failure: &Failure, failed: &str) -> String {
    let at = failure.at_seconds.map(|at| format!(" after {at:.3} virtual seconds")).unwrap_or_default();
    let mut text = format!("\n\nseed {} {failed}{at}: {}", job.seed, failure.kind);
    if let Some(kept) = &job.kept {
        text.push_str(&wrapped("  kept for: ", &kept.found));
    }
    text.push_str(&wrapped("  expected: ", &failure.expected));
    text.push_str(&wrapped("  found:    ", &failure.found));
    if !failure.last_events.is_empty() {
        let what = if failure.kind == ENDED_BY_ITSELF { "last lines of its stderr" } else { "last events before it" };
        let _ = write!(text, "\n  {what}:");
        for event in &failure.last_events {
            let _ = write!(text, "\n    {event}");
        }
    }
    let _ = write!(text, "\n  replay:   {}", job.replay());
    text
}

/// The faults, in as many columns as fit.
fn faults(faults: &BTreeMap<&str, u64>) -> String {
    let names = faults.keys().map(|fault| fault.chars().count()).max().unwrap_or(0);
    let digits = faults.values().map(|times| times.to_string().len()).max().unwrap_or(0);
    let columns = ((WIDTH - 2) / (names + digits + 4)).max(1);
    let cells: Vec<_> = faults.iter().map(|(fault, times)| format!("  {fault:<names$} {times:>digits$} ")).collect();
    let mut text = "\nfaults:".to_owned();
    for row in cells.chunks(columns) {
        let _ = write!(text, "\n{}", row.concat().trim_end());
    }
    text
}

/// For each case, in how many seeds its known violations were seen.
fn known(judged: &[Judged]) -> Vec<String> {
    let mut cases = BTreeMap::<u64, usize>::new();
    for case in judged.iter().flat_map(|judged| &judged.known) {
        *cases.entry(*case).or_default() += 1;
    }
    cases.into_iter().map(|(case, seeds)| format!("case {case} ({seeds} {})", noun(seeds))).collect()
}

/// A line with all values; empty where there are none.
fn labelled(label: &str, values: &[String]) -> String {
    if values.is_empty() { String::new() } else { wrapped(label, &values.join(", ")) }
}

/// A new line that begins with `label`; further lines are indented below the first word after it.
fn wrapped(label: &str, text: &str) -> String {
    let indent = label.chars().count();
    let (mut lines, mut column) = (format!("\n{label}"), indent);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            let _ = write!(lines, "\n{:indent$}", "");
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

fn noun(seeds: usize) -> &'static str {
    if seeds == 1 { "seed" } else { "seeds" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::kept::Kept;
    use crate::simulate::program::Listing;
    use std::time::Duration;

    const FAULTS: [&str; 7] =
        ["clock_jump", "crash", "disk_full", "message_delayed", "message_lost", "partition", "restored_old_disk"];

    fn failure(kind: &str, at_seconds: Option<f64>) -> Failure {
        Failure {
            kind: kind.to_owned(),
            at_seconds,
            expected: "a count of at least 4, because the response of client machine 11 with 4 was acknowledged \
                       at 300.100"
                .to_owned(),
            found: "3".to_owned(),
            last_events: vec!["311.105 node 2 restarts".to_owned()],
        }
    }

    fn text(all: &[Judged], in_full: bool) -> String {
        let listing = Listing { faults: FAULTS.map(str::to_owned).into(), plants: Vec::new() };
        report(&Report::new(&listing, all, Duration::from_secs(60)), all, in_full)
    }

    fn judged(job: Job, verdict: Verdict) -> Judged {
        let faults = [("crash".to_owned(), 12_000)].into();
        Judged { job, virtual_seconds: 3600.0, faults, known: vec![2], verdict }
    }

    fn kept(case: Option<u64>) -> Job {
        Job::kept(Kept { seed: 1234, found: "an early expiry".to_owned(), scenario: None, case })
    }

    #[test]
    fn a_summary_says_what_was_simulated_in_eighty_columns() {
        let expected = Verdict::ExpectedFailure { case: 2, failure: Some(failure("expired_early", Some(1.0))) };
        let all = [judged(kept(Some(2)), expected), judged(Job::new(1), Verdict::Passed)];
        let summary = text(&all, false);
        let lines: Vec<_> = summary.lines().collect();
        let expected = [
            "simulate: 2 seeds, 2 virtual hours in 60.0 s (120 times real time)",
            "faults:",
            "  clock_jump            0   crash             24000   disk_full             0",
            "  message_delayed       0   message_lost          0   partition             0",
            "  restored_old_disk     0",
            "expected failures: case 2 (seed 1234)",
            "known violations, which fail no seed: case 2 (2 seeds)",
            "simulate: passed",
        ];
        assert_eq!(lines, expected);
        assert!(text(&all, true).contains("seed 1234 failed as expected after 1.000 virtual seconds: expired_early"));
    }

    #[test]
    fn a_finding_says_all_that_is_needed_to_look_into_it() {
        let all = [
            judged(Job::new(7), Verdict::Finding(failure("stale_read", Some(311.2)))),
            judged(kept(None), Verdict::Finding(failure(ENDED_BY_ITSELF, None))),
        ];
        let text = text(&all, false);
        let expected = [
            "seed 7 failed after 311.200 virtual seconds: stale_read",
            "  expected: a count of at least 4, because the response of client machine 11",
            "            with 4 was acknowledged at 300.100",
            "  found:    3",
            "  last events before it:",
            "    311.105 node 2 restarts",
            "  replay:   cargo xtask simulate --seed 7 --trace trace.txt",
        ]
        .join("\n");
        assert!(text.contains(&format!("\n\n{expected}\n\n")), "{text}");
        assert!(text.contains("\n\nseed 1234 failed: ended_by_itself\n  kept for: an early expiry\n"), "{text}");
        assert!(text.contains("last lines of its stderr:\n    311.105"), "{text}");
        assert!(text.ends_with("\nsimulate: failed: 2 of 2 seeds"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn planted_bugs_are_a_table() {
        let table = [
            Planted { bug: "skipped_fsync", found: true, seeds: 4, kind: Some("acknowledged_lost".to_owned()) },
            Planted { bug: "stale_lease", found: false, seeds: 1, kind: Some(ENDED_BY_ITSELF.to_owned()) },
        ];
        let ended = judged(Job::with_plant(1, "stale_lease"), Verdict::Finding(failure(ENDED_BY_ITSELF, None)));
        let text = plants(&table, &[ended]);
        for part in [
            "\n  skipped_fsync  found after 4 seeds: acknowledged_lost\n",
            "\n  stale_lease    NOT found in 1 seed: ended_by_itself\n",
            "replay:   cargo xtask simulate --plant stale_lease --seed 1 --trace trace.txt",
            "simulate: failed: 1 of 2 planted bugs found",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
