//! Simulates a cluster under faults, deterministically and in virtual time, and judges it with an independent oracle.
//!
//! Real replicas and the host's real decisions run on a simulated network, on simulated disks and with simulated
//! clocks, in one thread. Everything follows from the seed, so a failure can be replayed from its seed on any
//! machine.
//!
//! Invariant: never decides anything for the product. It judges the product's data by its own rules.

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

/// Simulates a cluster under faults. `cargo xtask simulate` runs many seeds of this program.
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
    /// Run one seed and print its result as JSON; exit code 1 if an invariant was violated
    Run {
        /// The seed, which determines every choice of the run
        #[arg(long)]
        seed: u64,
        /// Plant this bug
        #[arg(long)]
        plant: Option<String>,
        /// Run this scenario instead of random faults
        #[arg(long)]
        scenario: Option<String>,
        /// Write the trace to this file
        #[arg(long)]
        trace: Option<PathBuf>,
        /// Run these seeds first in the same process, to test that they do not influence the run
        #[arg(long, value_name = "SEED", hide = true)]
        after: Vec<u64>,
        /// Virtual seconds with faults, instead of the length that the seed determines: for short tests
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

/// Options of a run, besides its seed.
struct Wanted {
    plant: Option<String>,
    scenario: Option<String>,
    /// Virtual seconds with faults, where the length does not follow from the seed.
    length: Option<u64>,
}

fn run(seed: u64, wanted: &Wanted, trace: Option<&Path>) -> Result<RunReport> {
    let Wanted { plant, scenario, length } = wanted;
    let planted = match plant {
        Some(name) => Some(Plant::named(name).with_context(|| format!("there is no bug {name:?} to plant"))?),
        None => None,
    };
    let scenario = scenario.clone().or_else(|| Some(planted?.scenario()?.to_owned()));
    let folder = tempfile::tempdir().context("cannot create a folder for the nodes' private keys")?;
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
        // After a panic the run may be inconsistent, and dropping it could panic again.
        std::mem::forget(run);
    }
    Ok(report)
}
