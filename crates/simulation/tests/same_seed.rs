//! The same seed gives the same trace: in a process of its own, after other seeds in one process, and on a clock that
//! runs a thousand times as fast. Otherwise a failure could not be replayed.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

const SIMULATION: &str = env!("CARGO_BIN_EXE_simulation");

/// Virtual seconds with faults: long enough for crashes, elections, snapshots and changes of the membership.
const LENGTH: [&str; 2] = ["--length", "150"];

/// Runs a seed with `program` as the wrapping command; returns the printed result and the trace.
fn run(program: &[&str], seed: &str, more: &[&str], folder: &Path) -> (Value, String) {
    let trace = folder.join("trace");
    let own = [SIMULATION, "run", "--seed", seed];
    let mut words = [program, &own, &LENGTH, more].concat().into_iter();
    let first = words.next().expect("the simulation itself");
    let output = Command::new(first).args(words).arg("--trace").arg(&trace).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("{first} cannot be started: {error}"));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(printed.get("failure"), Some(&Value::Null), "seed {seed}");
    (printed, fs::read_to_string(trace).expect("the trace was written"))
}

#[test]
fn machine_the_same_seed_gives_the_same_trace_alone_after_others_and_on_a_fast_clock() {
    let folder = tempfile::tempdir().unwrap();
    let mut traces = Vec::new();
    for seed in ["3", "8"] {
        let (alone, trace) = run(&[], seed, &[], folder.path());
        let (after, after_trace) = run(&[], seed, &["--after", "5"], folder.path());
        // faketime replaces the C library's clocks through a preloaded library.
        let (fast, fast_trace) = run(&["faketime", "-f", "+0 x1000"], seed, &[], folder.path());
        assert!(trace.lines().count() > 1000, "seed {seed}: a trace of {} lines", trace.lines().count());
        assert!(trace == after_trace && alone == after, "seed {seed}: another trace after another seed");
        assert!(trace == fast_trace && alone == fast, "seed {seed}: another trace on a fast clock");
        traces.push(trace);
    }
    assert_ne!(traces[0], traces[1], "two seeds, two traces");
}
