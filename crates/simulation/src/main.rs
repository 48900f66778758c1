//! A cluster under faults, deterministic, in virtual time, judged by an oracle of its own.
//!
//! Real replicas and the host's real decisions run on a simulated network, on simulated disks and with simulated clocks, in
//! one thread. Everything that happens follows from the seed: a failure is a seed that anyone replays.
//!
//! Invariant: never decides anything for the product; what it reads of the product's data it judges by rules of its own.

#[cfg(not(tokio_unstable))]
compile_error!(
    "build without a RUSTFLAGS variable: .cargo/config.toml sets `--cfg tokio_unstable`, which the simulation needs"
);

mod administrator;
mod alteration;
mod chance;
mod clock;
mod disk;
mod faults;
mod machines;
mod network;
mod node;
mod oracle;
mod order;
mod panics;
mod peer_calls;
mod plant;
mod process_clock;
mod publisher;
mod recovery;
mod report;
mod run;
mod scenarios;
mod time;
mod world;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::{
    plant::Plant,
    report::{Abilities, RunReport},
    run::{Plan, Run},
    world::World,
};

/// Simulates a cluster under faults. `cargo xtask simulate` runs many seeds of it.
#[derive(Parser)]
#[command(after_help = "Examples:\n  \
    simulation list\n  \
    simulation run --seed 7\n  \
    simulation run --seed 7 --trace trace.txt\n  \
    simulation run --seed 7 --plant lost_batch")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the kinds of faults, the bugs that can be planted and the scenarios, as JSON
    List,
    /// Run one seed and print what it found, as JSON; exit code 1 where a promise was broken
    Run {
        /// What everything follows from
        #[arg(long)]
        seed: u64,
        /// A bug to plant
        #[arg(long)]
        plant: Option<String>,
        /// A scenario in the place of random faults
        #[arg(long)]
        scenario: Option<String>,
        /// Where to write the trace
        #[arg(long)]
        trace: Option<PathBuf>,
        /// Run these seeds before it in the same process: for the test that nothing of them is left
        #[arg(long, value_name = "SEED", hide = true)]
        after: Vec<u64>,
        /// Virtual seconds with faults, in the place of those that follow from the seed: for short tests
        #[arg(long, value_name = "SECONDS", hide = true)]
        length: Option<u64>,
    },
}

fn main() -> Result<ExitCode> {
    panics::remember();
    match Arguments::parse().command {
        Command::List => {
            print(&Abilities::new(scenarios::SCENARIOS.map(|(name, _)| name).to_vec()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { seed, plant, scenario, trace, after, length } => {
            for before in after {
                run(before, &Wanted { plant: plant.clone(), scenario: scenario.clone(), length }, None)?;
            }
            let report = run(seed, &Wanted { plant, scenario, length }, trace.as_deref())?;
            print(&report)?;
            let passed = report.failure.is_none();
            Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn print(value: &impl serde::Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// What a run is to be beside what follows from its seed.
struct Wanted {
    plant: Option<String>,
    scenario: Option<String>,
    /// Virtual seconds with faults.
    length: Option<u64>,
}

fn run(seed: u64, wanted: &Wanted, trace: Option<&Path>) -> Result<RunReport> {
    let Wanted { plant, scenario, length } = wanted;
    let planted = match plant {
        Some(name) => Some(Plant::named(name).with_context(|| format!("there is no bug {name:?} to plant"))?),
        None => None,
    };
    let scenario = scenario.clone().or_else(|| Some(planted?.scenario()?.to_owned()));
    let folder = tempfile::tempdir().context("a folder for the nodes' private keys")?;
    fs::create_dir_all(folder.path().join("machine"))?;
    let world = World::new(trace.is_some());
    let mut plan = Plan::draw(seed);
    if let Some(name) = &scenario {
        plan.snapshot_every_entries = scenarios::snapshot_every_entries(name);
        plan.nodes = scenarios::nodes(name).with_context(|| format!("there is no scenario {name:?}"))?;
    }
    if let Some(seconds) = length {
        plan.length = Duration::from_secs(*seconds);
    }
    let nodes = plan.nodes;
    let mut run = Run::new(world.clone(), plan, planted, folder.path());
    match &scenario {
        Some(name) => run.play(name),
        None => run.complete(),
    }
    let elapsed = run.sim.elapsed();
    if let (Some(path), (_, _, Some(lines))) = (trace, world.traced()) {
        fs::write(path, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let report = RunReport::new(&world, (seed, plant.clone(), scenario), nodes, elapsed);
    if panics::first().is_some() {
        // What a panic left half done cannot be dropped without another one.
        std::mem::forget(run);
    }
    Ok(report)
}
