//! Tests of the whole command except the build, with a shell script in place of the simulation.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Parser;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// A script that understands the simulation's arguments. `behaviour` is run for each seed and calls `passed` or
/// `failed KIND`.
const SCRIPT: &str = r#"#!/bin/sh
if [ "$1" = list ]; then
    echo '{"faults":["crash","partition"],"plants":[{"bug":"skipped_fsync","seeds_max":5},{"bug":"stale_lease","seeds_max":2}]}'
    exit
fi
shift
while [ $# -gt 0 ]; do
    case $1 in
    --seed) seed=$2 ;; --plant) plant=$2 ;; --scenario) scenario=$2 ;; --trace) trace=$2 ;;
    *) exit 2 ;;
    esac
    shift 2
done
result() {
    printf '{"seed":%s,"plant":null,"scenario":null,"virtual_seconds":360,"nodes":3,"faults":{"crash":2},' "$seed"
    printf '"known":[%s],"failure":%s}\n' "$known" "$1"
}
passed() {
    result null
}
failed() {
    result "{\"kind\":\"$1\",\"at_seconds\":311.2,\"expected\":\"count 4\",\"found\":\"count 3\",\"last_events\":[\"311.1 node 2\"]}"
    exit 1
}
"#;

struct Fake {
    session: Session,
    folder: TempDir,
}

impl Fake {
    /// A simulation with this behaviour. Seeds run one at a time, so that it is known which seeds are started.
    fn new(behaviour: &str, kept: &[Kept]) -> Self {
        let folder = TempDir::new().unwrap();
        let program = Program(written(&folder, &format!("{SCRIPT}{behaviour}\n")));
        let session = Session { listing: program.list().unwrap(), program, kept: kept.to_vec(), processes: 1 };
        Self { session, folder }
    }

    /// Runs the command; returns its stdout and its exit code.
    fn run(&self, arguments: &[&str]) -> (String, u8) {
        let line = Line::try_parse_from([&["simulate"], arguments].concat()).unwrap();
        match self.session.answer(&line.simulate).unwrap() {
            Answer::Result { text, passed } => (text, u8::from(!passed)),
            Answer::Usage(mistake) => (mistake, USAGE),
        }
    }

    fn json(&self, arguments: &[&str]) -> (Value, u8) {
        let (text, code) = self.run(&[&["--json"], arguments].concat());
        (serde_json::from_str(&text).unwrap(), code)
    }
}

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    simulate: Simulate,
}

/// Another process writes the script. A file that this process has open for writing, even in a child process that
/// another test's thread started, cannot be executed.
fn written(folder: &TempDir, script: &str) -> PathBuf {
    let file = folder.path().join("simulation");
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"]).arg(&file).stdin(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
    file
}

fn kept(seed: u64, scenario: Option<&str>, case: Option<u64>) -> Kept {
    Kept { seed, found: "an early expiry".to_owned(), scenario: scenario.map(str::to_owned), case }
}

fn finding(seed: u64, kind: &str) -> Value {
    json!({"seed": seed, "kind": kind, "at_seconds": 311.2, "expected": "count 4", "found": "count 3",
        "last_events": ["311.1 node 2"], "replay": format!("cargo xtask simulate --seed {seed} --trace trace.txt")})
}

#[test]
fn seeds_that_pass_are_summed_up() {
    let (mut report, code) = Fake::new("passed", &[]).json(&["--seeds", "3"]);
    assert!(report["wall_seconds"].take().as_f64().unwrap() > 0.0);
    let expected = json!({"seeds": 3, "virtual_hours": 0.3, "wall_seconds": null,
        "faults": {"crash": 6, "partition": 0}, "expected_failures": [], "failures": []});
    assert_eq!((report, code), (expected, 0));
    let (text, code) = Fake::new("passed", &[]).run(&[]);
    assert!(text.starts_with("simulate: 20 seeds, 2 virtual hours") && text.ends_with("simulate: passed"), "{text}");
    assert_eq!(code, 0);
}

#[test]
fn minutes_that_are_over_still_allow_twenty_seeds_and_no_failure() {
    let fake = Fake::new("passed", &[kept(900, None, None)]);
    let seeds = |arguments: &[&str]| (fake.json(arguments).0["seeds"].as_u64().unwrap(), fake.json(arguments).1);
    assert_eq!(seeds(&["--minutes", "0"]), (21, 0));
    assert_eq!(seeds(&["--minutes", "0", "--seeds", "2"]), (3, 0));
}

#[test]
fn a_failure_is_reported_and_ends_the_run() {
    let fake = Fake::new("case $seed in 12) failed stale_read ;; *) passed ;; esac", &[]);
    let (report, code) = fake.json(&["--first", "10"]);
    assert_eq!((report["seeds"].clone(), report["failures"].clone()), (json!(3), json!([finding(12, "stale_read")])));
    assert_eq!(code, 1);
    let (text, code) = fake.run(&["--first", "10"]);
    assert!(text.contains("seed 12 failed after 311.200 virtual seconds: stale_read"), "{text}");
    assert_eq!(code, 1);
}

#[test]
fn a_simulation_that_is_killed_or_prints_nonsense_is_a_finding() {
    let table = [
        ("echo first >&2; echo last words >&2; kill -9 $$", "signal: 9 (SIGKILL)"),
        ("echo first >&2; echo last words >&2; exit 101", "exit status: 101"),
        ("echo first >&2; echo last words >&2; echo nonsense", "unreadable output"),
    ];
    for (behaviour, reason) in table {
        let (report, code) = Fake::new(behaviour, &[kept(5, None, Some(2))]).json(&[]);
        let [failure] = report["failures"].as_array().unwrap().as_slice() else { panic!("{report}") };
        assert_eq!((&failure["kind"], &failure["at_seconds"]), (&json!("ended_by_itself"), &Value::Null));
        let found = failure["found"].as_str().unwrap();
        assert!(found.starts_with("the simulation ended by itself: ") && found.contains(reason), "{found}");
        assert_eq!(failure["last_events"], json!(["first", "last words"]));
        assert_eq!((report["seeds"].clone(), code), (json!(1), 1));
    }
}

#[test]
fn kept_seeds_run_first_and_those_with_a_case_may_fail() {
    let behaviour = "known='{\"case\":3,\"kind\":\"expired_early\"}'\n\
        case $seed in 40) [ \"$scenario\" = clock_accept ] && failed expired_early ;; *) passed ;; esac";
    let seeds = [kept(40, Some("clock_accept"), Some(2)), kept(41, None, Some(3)), kept(42, None, None)];
    let fake = Fake::new(behaviour, &seeds);
    let (report, code) = fake.json(&["--seeds", "2"]);
    assert_eq!(report["expected_failures"], json!([{"case": 2, "seed": 40}, {"case": 3, "seed": 41}]));
    assert_eq!((report["seeds"].clone(), report["failures"].clone(), code), (json!(5), json!([]), 0));
    // A single seed is shown in full.
    let (text, code) = fake.run(&["--seed", "40"]);
    assert!(text.contains("seed 40 failed as expected") && text.contains("expected: count 4"), "{text}");
    assert_eq!(code, 0);
}

#[test]
fn a_kept_seed_that_passes_although_its_case_is_open_is_a_finding() {
    let (report, code) = Fake::new("passed", &[kept(40, None, Some(2))]).json(&[]);
    let [failure] = report["failures"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!((&failure["kind"], &failure["at_seconds"]), (&json!("passed_unexpectedly"), &json!(360.0)));
    let found = failure["found"].as_str().unwrap();
    assert!(found.contains("remove `case = 2` from this seed in crates/simulation/seeds.toml"), "{found}");
    assert_eq!((report["seeds"].clone(), report["expected_failures"].clone(), code), (json!(1), json!([]), 1));
}

#[test]
fn one_seed_runs_with_its_scenario_and_a_trace_of_an_absolute_path() {
    let behaviour = "echo \"$seed $scenario $plant\" > \"$trace\"; passed";
    let fake = Fake::new(behaviour, &[kept(40, Some("clock_accept"), None), kept(41, None, None)]);
    let file = fake.folder.path().join("trace.txt");
    for (arguments, traced) in [
        (&["--seed", "40"][..], "40 clock_accept \n"),
        (&["--seed", "7"], "7  \n"),
        (&["--seed", "40", "--plant", "stale_lease"], "40  stale_lease\n"),
    ] {
        let (report, code) = fake.json(&[arguments, &["--trace", file.to_str().unwrap()]].concat());
        assert_eq!((report["seeds"].clone(), code), (json!(1), 0));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), traced);
    }
    let relative = Fake::new("case $trace in /*/trace.txt) passed ;; *) failed relative ;; esac", &[]);
    assert_eq!(relative.run(&["--seed", "7", "--trace", "trace.txt"]).1, 0);
}

#[test]
fn planted_bugs_are_found_or_not() {
    let behaviour = "case $plant$seed in skipped_fsync[345]) failed acknowledged_lost ;; *) passed ;; esac";
    for processes in [1, 2, 4] {
        let mut fake = Fake::new(behaviour, &[kept(40, None, Some(2))]);
        fake.session.processes = processes;
        let found = json!({"bug": "skipped_fsync", "found": true, "seeds": 3, "kind": "acknowledged_lost"});
        let missed = json!({"bug": "stale_lease", "found": false, "seeds": 2, "kind": null});
        assert_eq!(fake.json(&["--plant", "all"]), (json!({"plants": [found, missed]}), 1));
        assert_eq!(fake.json(&["--plant", "skipped_fsync"]), (json!({"plants": [found]}), 0));
        assert_eq!(fake.run(&["--plant", "stale_lease"]).1, 1);
        assert_eq!(fake.run(&["--plant", "skipped_fsync", "--seeds", "2"]).1, 1);
    }
}

#[test]
fn a_planted_bug_with_one_seed_is_an_ordinary_run() {
    let fake = Fake::new("[ -n \"$plant\" ] && failed acknowledged_lost; passed", &[]);
    let (report, code) = fake.json(&["--plant", "skipped_fsync", "--seed", "3"]);
    let replay = "cargo xtask simulate --plant skipped_fsync --seed 3 --trace trace.txt";
    assert_eq!((&report["failures"][0]["replay"], code), (&json!(replay), 1));
}

#[test]
fn a_simulation_that_ends_by_itself_has_not_found_the_planted_bug() {
    let fake = Fake::new("[ $seed = 2 ] && exit 101; passed", &[]);
    let expected = json!({"plants": [
        {"bug": "stale_lease", "found": false, "seeds": 2, "kind": "ended_by_itself"}]});
    assert_eq!(fake.json(&["--plant", "stale_lease"]), (expected, 1));
    let (text, _) = fake.run(&["--plant", "stale_lease"]);
    assert!(text.contains("exit status: 101") && text.contains("--plant stale_lease --seed 2"), "{text}");
}

#[test]
fn an_unknown_bug_is_a_mistake_of_the_caller_and_the_names_are_listed() {
    let fake = Fake::new("passed", &[]);
    let (mistake, code) = fake.run(&["--plant", "stale"]);
    assert!(mistake.contains("`stale`") && mistake.ends_with("skipped_fsync, stale_lease, all"), "{mistake}");
    assert_eq!(code, 2);
    assert_eq!(fake.run(&["--plant", "all", "--seed", "1"]).1, 2);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let table = [
        "--trace trace.txt",
        "--seed 1 --seeds 2",
        "--seed 1 --first 2",
        "--seed 1 --minutes 2",
        "--plant all --minutes 2",
        "--seeds 0",
    ];
    for line in table {
        let words = ["simulate"].into_iter().chain(line.split(' '));
        assert_eq!(Line::try_parse_from(words).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn a_random_run_says_how_to_repeat_it() {
    let random = Simulate::at_random(1000);
    let first = random.first.unwrap();
    assert_eq!(random.command(), format!("cargo xtask simulate --seeds 1000 --first {first}"));
    assert_ne!(Simulate::at_random(1000).first, Some(first));
    assert_eq!(Simulate::for_minutes(3).command(), "cargo xtask simulate --minutes 3");
}
