//! Shows progress on stderr while seeds run: a bar on a terminal, else a line from time to time.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::note;
use crate::simulate::verdict::Judged;

/// Without a terminal, a line is printed each time that this many seeds have ended.
const SEEDS_PER_LINE: u64 = 30;

/// Interval at which the bar is drawn again, so that its clock advances.
const REDRAWN: Duration = Duration::from_millis(500);

const COUNTED: &str = "{prefix} {bar:30} {pos} of {len} seeds in {elapsed}{msg}";
const UNCOUNTED: &str = "{prefix} {spinner} {pos} seeds in {elapsed}{msg}";

pub(crate) struct Progress {
    /// `None` where stderr is not a terminal.
    bar: Option<ProgressBar>,
    terminal: bool,
    seeds: u64,
    virtual_seconds: f64,
    findings: u64,
}

impl Progress {
    /// Progress on this process's stderr.
    pub(crate) fn new() -> Self {
        Self { bar: None, terminal: stderr().is_terminal(), seeds: 0, virtual_seconds: 0.0, findings: 0 }
    }

    /// Begins a named part of the work; `seeds` is its number of seeds, where that is known.
    pub(crate) fn begin(&mut self, name: &str, seeds: Option<u64>) {
        self.finish();
        if self.terminal {
            let (bar, template) = match seeds {
                Some(seeds) => (ProgressBar::new(seeds), COUNTED),
                None => (ProgressBar::no_length(), UNCOUNTED),
            };
            let style = ProgressStyle::with_template(template).expect("the template is a constant");
            let bar = bar.with_style(style).with_prefix(name.to_owned());
            bar.enable_steady_tick(REDRAWN);
            self.bar = Some(bar);
        }
    }

    /// Call when a seed has ended.
    pub(crate) fn ended(&mut self, judged: &Judged) {
        if let Some(line) = self.counted(judged) {
            note(line);
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Counts a seed; returns the line to print, where one is due.
    fn counted(&mut self, judged: &Judged) -> Option<String> {
        self.seeds += 1;
        self.virtual_seconds += judged.virtual_seconds;
        self.findings += u64::from(judged.finding().is_some());
        if let Some(bar) = &self.bar {
            if self.findings > 0 {
                bar.set_message(format!(", {} findings: running seeds end", self.findings));
            }
            bar.inc(1);
        }
        let due = !self.terminal && self.seeds.is_multiple_of(SEEDS_PER_LINE);
        let hours = self.virtual_seconds / 3600.0;
        due.then(|| format!("simulate: {} seeds so far, {hours:.1} virtual hours", self.seeds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::plan::Job;
    use crate::simulate::verdict::Verdict;

    fn lines(terminal: bool) -> Vec<String> {
        let judged = Judged {
            job: Job::new(1),
            virtual_seconds: 600.0,
            faults: Default::default(),
            known: Vec::new(),
            verdict: Verdict::Passed,
        };
        let mut progress = Progress { terminal, ..Progress::new() };
        (0..65).filter_map(|_| progress.counted(&judged)).collect()
    }

    #[test]
    fn without_a_terminal_a_line_is_printed_for_every_thirty_seeds() {
        let expected =
            ["simulate: 30 seeds so far, 5.0 virtual hours", "simulate: 60 seeds so far, 10.0 virtual hours"];
        assert_eq!(lines(false), expected);
        assert!(lines(true).is_empty());
    }
}
