//! `cargo xtask simulate`: runs the simulation (`crates/simulation`), one process for each seed, and reports.
//!
//! [`plan`] decides which seed runs next, [`program`] calls the process, [`verdict`] judges whether a seed passed.

mod kept;
mod plan;
mod program;
mod progress;
mod report;
mod run;
mod text;
mod verdict;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cargo::Workspace;
use crate::output::{note, say};
use kept::Kept;
use plan::{Job, Limits, Plan};
use program::{ENDED_BY_ITSELF, Listing, Plant, Program};
use progress::Progress;
use report::{Planted, Plants, Report};
use verdict::Judged;

/// The name that selects every bug.
const ALL: &str = "all";

/// Exit code for a mistake in the command line.
const USAGE: u8 = 2;

/// `cargo xtask simulate ...`
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Without --seed and --plant: first the seeds kept in crates/simulation/seeds.toml, then seeds \
    counting up. After the first finding no seed is started.\n\nExamples:\n  \
    cargo xtask simulate                               the kept seeds, and 20 more\n  \
    cargo xtask simulate --minutes 10                  for about ten minutes, but at least 20 seeds\n  \
    cargo xtask simulate --seeds 500 --first 1000      seeds 1000 to 1499\n  \
    cargo xtask simulate --seed 7 --trace trace.txt    seed 7 only, with every event written to trace.txt\n  \
    cargo xtask simulate --plant all                   whether every bug that can be planted is found\n  \
    cargo xtask simulate --plant skipped_fsync         whether this one is found\n\n\
    Exit code: 0 passed, 1 a finding or a planted bug that was not found, 2 usage.")]
pub(crate) struct Simulate {
    /// How many seeds run, besides the kept ones [default: 20; with --minutes: as many as the time allows]
    #[arg(long, value_name = "N", conflicts_with = "seed", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Run only this seed; if it is kept, with its scenario
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The seed to count up from [default: 1]
    #[arg(long, value_name = "S", conflicts_with = "seed")]
    first: Option<u64>,
    /// Start no seed after this many minutes, but run at least 20 (or --seeds, if that is less), besides the kept
    /// ones
    #[arg(long, value_name = "M", conflicts_with_all = ["seed", "plant"])]
    minutes: Option<u64>,
    /// Plant this bug, or each in turn with `all`, and run seeds until it is found
    #[arg(long, value_name = "BUG")]
    plant: Option<String>,
    /// Write every event of the seed to this file
    #[arg(long, value_name = "FILE", requires = "seed")]
    trace: Option<PathBuf>,
    /// Print one JSON object on stdout instead of text
    #[arg(long)]
    json: bool,
}

/// The built program with its listing.
struct Session {
    program: Program,
    listing: Listing,
    kept: Vec<Kept>,
    /// How many seeds run in parallel.
    processes: usize,
}

/// The output of the command, with its exit code.
#[derive(Debug)]
enum Answer {
    Result {
        text: String,
        passed: bool,
    },
    /// A mistake in the command line.
    Usage(String),
}

impl Simulate {
    /// The run within `cargo xtask test`, which lasts this many minutes.
    pub(crate) fn for_minutes(minutes: u64) -> Self {
        Self { minutes: Some(minutes), ..Self::default() }
    }

    /// The run within `cargo xtask soak`: `seeds` seeds, beginning at a random one.
    pub(crate) fn at_random(seeds: u64) -> Self {
        // Only 48 bits, because JSON and TOML parsers hold such a number exactly.
        let first = RandomState::new().build_hasher().finish() >> 16;
        Self { seeds: Some(seeds), first: Some(first), ..Self::default() }
    }

    /// The command line that repeats this run.
    pub(crate) fn command(&self) -> String {
        let options = [("seeds", self.seeds), ("first", self.first), ("minutes", self.minutes)];
        let given = options.into_iter().filter_map(|(name, value)| Some(format!(" --{name} {}", value?)));
        format!("cargo xtask simulate{}", given.collect::<String>())
    }
}

/// Builds the simulation and runs it. Only the result is printed on stdout: progress and errors go to stderr.
pub(crate) fn run(workspace: &Workspace, arguments: &Simulate) -> ExitCode {
    match Session::built(workspace).and_then(|session| session.answer(arguments)) {
        Ok(Answer::Result { text, passed }) => {
            say(text);
            if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(Answer::Usage(mistake)) => {
            note(format_args!("error: {mistake}"));
            ExitCode::from(USAGE)
        }
        Err(error) => {
            note(format_args!("xtask: simulate: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

impl Session {
    fn built(workspace: &Workspace) -> Result<Self> {
        let kept = kept::read(&workspace.root.join(kept::FILE))?;
        note("simulate: building the simulation ...");
        let program = Program::built(workspace)?;
        let listing = program.list()?;
        let processes = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { program, listing, kept, processes })
    }

    fn answer(&self, arguments: &Simulate) -> Result<Answer> {
        let bugs = match arguments.plant.as_deref().map(|name| self.bugs(name)).transpose() {
            Ok(bugs) => bugs,
            Err(mistake) => return Ok(Answer::Usage(mistake)),
        };
        match (bugs.as_deref(), arguments.seed) {
            (None, None) => {
                let limits = Limits::new(arguments.seeds, arguments.minutes.is_some());
                self.ordinary(Plan::counting(self.kept.clone(), arguments.first.unwrap_or(1), limits), arguments)
            }
            (Some(bugs), None) => self.planted(bugs, arguments),
            (None, Some(seed)) => {
                let kept = self.kept.iter().find(|kept| kept.seed == seed);
                self.one(kept.map_or_else(|| Job::new(seed), |kept| Job::kept(kept.clone())), arguments)
            }
            // Without its scenario, even where the seed is kept, so that the run is the one that the search for the
            // bug made.
            (Some([plant]), Some(seed)) => self.one(Job::with_plant(seed, &plant.bug), arguments),
            (Some(_), Some(_)) => Ok(Answer::Usage("--seed needs one bug to plant, not `all`".to_owned())),
        }
    }

    /// The bugs that `--plant` selects, or an error message.
    fn bugs(&self, name: &str) -> Result<Vec<&Plant>, String> {
        let known = &self.listing.plants;
        let bugs: Vec<_> = known.iter().filter(|plant| name == ALL || plant.bug == name).collect();
        if bugs.is_empty() && name != ALL {
            let names: Vec<_> = known.iter().map(|plant| plant.bug.as_str()).chain([ALL]).collect();
            return Err(format!("`{name}` is no bug that can be planted; --plant takes one of: {}", names.join(", ")));
        }
        Ok(bugs)
    }

    fn one(&self, job: Job, arguments: &Simulate) -> Result<Answer> {
        let trace = arguments.trace.as_ref().map(std::path::absolute).transpose().context("--trace")?;
        self.ordinary(Plan::one(Job { trace, ..job }), arguments)
    }

    fn ordinary(&self, plan: Plan, arguments: &Simulate) -> Result<Answer> {
        let begun = now();
        let limit = arguments.minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
        let time_is_up = || limit.is_some_and(|limit| begun.elapsed() >= limit);
        let mut progress = Progress::new();
        progress.begin("simulate", plan.left());
        let judged = self.run(plan, &time_is_up, &mut progress);
        progress.finish();
        let report = Report::new(&self.listing, &judged, begun.elapsed());
        let passed = report.failures.is_empty();
        let text = match arguments.json {
            true => json(&report)?,
            false => text::report(&report, &judged, arguments.seed.is_some()),
        };
        Ok(Answer::Result { text, passed })
    }

    fn planted(&self, bugs: &[&Plant], arguments: &Simulate) -> Result<Answer> {
        let mut progress = Progress::new();
        let (mut plants, mut ended_by_themselves) = (Vec::new(), Vec::new());
        for Plant { bug, seeds_max } in bugs {
            let most = arguments.seeds.map_or(*seeds_max, |seeds| seeds.min(*seeds_max));
            progress.begin(bug, Some(most));
            let plan = Plan::planted(bug, arguments.first.unwrap_or(1), most);
            let judged = self.run(plan, &|| false, &mut progress);
            plants.push(planted(bug, &judged));
            ended_by_themselves.extend(first_finding(judged).filter(ended_by_itself));
        }
        progress.finish();
        let passed = plants.iter().all(|plant| plant.found);
        let text = text::plants(&plants, &ended_by_themselves);
        if !arguments.json {
            return Ok(Answer::Result { text, passed });
        }
        // The JSON object has no field for them.
        if !ended_by_themselves.is_empty() {
            note(text);
        }
        Ok(Answer::Result { text: json(&Plants { plants })?, passed })
    }

    fn run(&self, plan: Plan, time_is_up: run::TimeIsUp<'_>, progress: &mut Progress) -> Vec<Judged> {
        let play = |job: &Job| self.program.run(job);
        run::run(plan, self.processes, &play, time_is_up, &mut |judged| progress.ended(judged))
    }
}

/// The result for a planted bug. The first finding in the order of the seeds counts: all seeds before it ran as well,
/// while the number of seeds after it that ran depends on the machine.
fn planted<'a>(bug: &'a str, judged: &[Judged]) -> Planted<'a> {
    let first = judged.iter().position(|judged| judged.finding().is_some());
    let found = first.and_then(|at| judged.get(at));
    Planted {
        bug,
        found: found.is_some_and(|judged| !ended_by_itself(judged)),
        seeds: first.map_or(judged.len(), |at| at + 1),
        kind: found.and_then(Judged::finding).map(|failure| failure.kind.clone()),
    }
}

fn first_finding(judged: Vec<Judged>) -> Option<Judged> {
    judged.into_iter().find(|judged| judged.finding().is_some())
}

fn ended_by_itself(judged: &Judged) -> bool {
    judged.finding().is_some_and(|failure| failure.kind == ENDED_BY_ITSELF)
}

fn json(object: &impl Serialize) -> Result<String> {
    serde_json::to_string(object).context("the result as JSON")
}

#[expect(clippy::disallowed_methods, reason = "a command measures how long it takes")]
fn now() -> Instant {
    Instant::now()
}
