//! Decides which seed runs next; runs nothing itself.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;

use crate::simulate::kept::Kept;

/// How many seeds run by default, and the least number that runs with a time limit.
pub(crate) const USUAL_SEEDS: u64 = 20;

/// One seed to run in its own process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) seed: u64,
    /// The bug to plant.
    pub(crate) plant: Option<String>,
    /// The seed's entry in the file of kept seeds, where it is kept.
    pub(crate) kept: Option<Kept>,
    /// Absolute path of the file to which the simulation writes its trace.
    pub(crate) trace: Option<PathBuf>,
}

impl Job {
    /// A seed without planted bug, scenario and trace.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, plant: None, kept: None, trace: None }
    }

    /// A kept seed, with its scenario and its expected result.
    pub(crate) fn kept(kept: Kept) -> Self {
        Self { kept: Some(kept.clone()), ..Self::new(kept.seed) }
    }

    /// A seed with a planted bug.
    pub(crate) fn with_plant(seed: u64, bug: &str) -> Self {
        Self { plant: Some(bug.to_owned()), ..Self::new(seed) }
    }

    /// The command line arguments for the simulation.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["run".into(), "--seed".into(), self.seed.to_string().into()].into();
        let mut option = |name: &str, value: Option<OsString>| {
            if let Some(value) = value {
                arguments.extend([name.into(), value]);
            }
        };
        option("--plant", self.plant.clone().map(OsString::from));
        option("--scenario", self.kept.as_ref().and_then(|kept| kept.scenario.clone()).map(OsString::from));
        option("--trace", self.trace.clone().map(OsString::from));
        arguments
    }

    /// The command that runs this seed again and writes a trace.
    pub(crate) fn replay(&self) -> String {
        let plant = self.plant.as_ref().map(|bug| format!(" --plant {bug}")).unwrap_or_default();
        format!("cargo xtask simulate{plant} --seed {} --trace trace.txt", self.seed)
    }
}

/// How many seeds run, besides the kept ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The most seeds; `None`: until the time is up.
    most: Option<u64>,
    /// The least number of seeds, whatever the time.
    least: u64,
}

impl Limits {
    /// `seeds` is the number that the caller gave, if any; `timed` says whether the caller also gave a time.
    pub(crate) fn new(seeds: Option<u64>, timed: bool) -> Self {
        let most = if timed { seeds } else { seeds.or(Some(USUAL_SEEDS)) };
        Self { most, least: most.map_or(USUAL_SEEDS, |most| most.min(USUAL_SEEDS)) }
    }
}

/// The seeds that are left to run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Seeds that run before all others, whatever the time.
    chosen: VecDeque<Job>,
    /// Numbers of the kept seeds. Counting up leaves them out, because `--seed` selects a single run.
    kept: BTreeSet<u64>,
    /// The next seed in counting up; `None` after the largest number.
    next: Option<u64>,
    plant: Option<String>,
    limits: Limits,
    /// How many seeds of the counting up were started.
    started: u64,
    stopped: bool,
}

impl Plan {
    /// A plan of all kept seeds, then seeds from `first` up.
    pub(crate) fn counting(kept: Vec<Kept>, first: u64, limits: Limits) -> Self {
        Self {
            kept: kept.iter().map(|kept| kept.seed).collect(),
            chosen: kept.into_iter().map(Job::kept).collect(),
            next: Some(first),
            plant: None,
            limits,
            started: 0,
            stopped: false,
        }
    }

    /// A plan of one seed only.
    pub(crate) fn one(job: Job) -> Self {
        let none = Limits { most: Some(0), least: 0 };
        Self { chosen: [job].into(), ..Self::counting(Vec::new(), 0, none) }
    }

    /// A plan of at most `most` seeds from `first` up, each with `bug` planted.
    pub(crate) fn planted(bug: &str, first: u64, most: u64) -> Self {
        let limits = Limits { most: Some(most), least: 0 };
        Self { plant: Some(bug.to_owned()), ..Self::counting(Vec::new(), first, limits) }
    }

    /// The seed to start now; `None` when no more seeds are to be started.
    pub(crate) fn next(&mut self, time_is_up: bool) -> Option<Job> {
        if self.stopped {
            return None;
        }
        if let Some(job) = self.chosen.pop_front() {
            return Some(job);
        }
        let enough = self.limits.most.is_some_and(|most| self.started >= most);
        if enough || time_is_up && self.started >= self.limits.least {
            return None;
        }
        let seed = self.unkept()?;
        self.started += 1;
        Some(Job { plant: self.plant.clone(), ..Job::new(seed) })
    }

    /// From now on no seed is started.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// How many seeds are left to start, where that does not depend on the time.
    pub(crate) fn left(&self) -> Option<u64> {
        let chosen = u64::try_from(self.chosen.len()).unwrap_or(u64::MAX);
        self.limits.most.map(|most| most.saturating_sub(self.started).saturating_add(chosen))
    }

    fn unkept(&mut self) -> Option<u64> {
        loop {
            let seed = self.next?;
            self.next = seed.checked_add(1);
            if !self.kept.contains(&seed) {
                return Some(seed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(seed: u64) -> Kept {
        Kept { seed, found: "a stale read".to_owned(), scenario: None, case: None }
    }

    fn seeds(plan: &mut Plan, time_is_up: impl Fn(usize) -> bool) -> Vec<u64> {
        let mut started = Vec::new();
        while let Some(job) = plan.next(time_is_up(started.len())) {
            started.push(job.seed);
        }
        started
    }

    #[test]
    fn kept_seeds_run_first_and_are_neither_counted_nor_repeated() {
        let mut plan = Plan::counting(vec![kept(40), kept(6)], 5, Limits::new(Some(3), false));
        assert_eq!(plan.left(), Some(5));
        assert_eq!(seeds(&mut plan, |_| false), [40, 6, 5, 7, 8]);
        assert_eq!(plan.left(), Some(0));
    }

    #[test]
    fn so_many_seeds_run() {
        // columns: seeds, timed, seeds that run when the time is up from the beginning, and when it is up after 30
        let table = [
            (None, true, 20, 30),
            (Some(3), true, 3, 3),
            (Some(25), true, 20, 25),
            (Some(100), true, 20, 30),
            (Some(20), true, 20, 20),
        ];
        for (most, timed, at_once, later) in table {
            let plan = || Plan::counting(vec![kept(1), kept(2)], 10, Limits::new(most, timed));
            assert_eq!(seeds(&mut plan(), |_| true).len(), at_once + 2, "{most:?}");
            assert_eq!(seeds(&mut plan(), |started| started >= 32).len(), later + 2, "{most:?}");
        }
        assert_eq!(seeds(&mut Plan::counting(vec![], 1, Limits::new(None, false)), |_| false).len(), 20);
        assert_eq!(Plan::counting(vec![], 1, Limits::new(None, true)).left(), None);
    }

    #[test]
    fn nothing_is_started_after_a_stop_kept_or_not() {
        let mut plan = Plan::counting(vec![kept(40), kept(41)], 1, Limits::new(None, false));
        assert_eq!(plan.next(false).map(|job| job.seed), Some(40));
        plan.stop();
        assert_eq!(plan.next(false), None);
    }

    #[test]
    fn the_largest_seed_is_the_last() {
        let mut plan = Plan::counting(vec![], u64::MAX - 1, Limits::new(None, false));
        assert_eq!(seeds(&mut plan, |_| false), [u64::MAX - 1, u64::MAX]);
    }

    #[test]
    fn one_seed_and_planted_seeds() {
        assert_eq!(seeds(&mut Plan::one(Job::new(7)), |_| true), [7]);
        let mut plan = Plan::planted("skipped_fsync", 1, 3);
        let first = plan.next(false).unwrap();
        assert_eq!((first.seed, first.plant.as_deref()), (1, Some("skipped_fsync")));
        assert_eq!(seeds(&mut plan, |_| false), [2, 3]);
    }

    #[test]
    fn a_job_is_a_command_line_of_the_simulation_and_of_the_caller() {
        let line = |job: &Job| {
            let words: Vec<_> = job.arguments().into_iter().map(|word| word.into_string().unwrap()).collect();
            words.join(" ")
        };
        let mut job = Job::kept(Kept { scenario: Some("clock_accept".to_owned()), ..kept(7) });
        job.trace = Some("/tmp/trace".into());
        assert_eq!(line(&job), "run --seed 7 --scenario clock_accept --trace /tmp/trace");
        assert_eq!(job.replay(), "cargo xtask simulate --seed 7 --trace trace.txt");
        let planted = Job::with_plant(3, "skipped_fsync");
        assert_eq!(line(&planted), "run --seed 3 --plant skipped_fsync");
        assert_eq!(planted.replay(), "cargo xtask simulate --plant skipped_fsync --seed 3 --trace trace.txt");
    }
}
