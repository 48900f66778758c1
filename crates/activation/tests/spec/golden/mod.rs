//! Golden logs: what older versions wrote gives the same state, results and bytes with today's code.
//!
//! `cargo xtask golden record COMMIT` let that commit's code write them; `tests/golden/recorder/log/main.rs` says what is in
//! them. A node of that version and one of this are in one cluster during an upgrade, and compare their state hashes.

mod coverage;
mod names;
mod replay;

use std::fs;
use std::path::PathBuf;

use data_encoding::BASE64;

use self::coverage::Coverage;
use self::replay::{Difference, replay};

/// The recordings, each by the beginning of the commit that wrote it.
const RECORDINGS: [&str; 1] = ["aa5b105"];

fn folder(recording: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(recording)
}

fn log(recording: &str) -> String {
    fs::read_to_string(folder(recording).join("log.txt")).unwrap()
}

fn replayed(recording: &str, log: &str) -> Result<Coverage, Difference> {
    replay(log, |format| fs::read(folder(recording).join(format!("state-{format}.bin"))).unwrap())
}

#[test]
fn golden_logs_give_the_recorded_hashes_results_texts_and_bytes_and_hold_every_command_and_refusal() {
    for recording in RECORDINGS {
        match replayed(recording, &log(recording)) {
            Ok(coverage) => {
                println!("{recording}: {}", coverage.met());
                assert_eq!(coverage.wrong(), Vec::<String>::new(), "{recording}");
            }
            Err(difference) => panic!("{recording}: {difference}"),
        }
    }
}

/// The first line that holds `text`.
fn line_with<'a>(log: &'a str, text: &str) -> &'a str {
    log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no line has {text:?}"))
}

/// What a change of a replicated text, of a result or of an encoding looks like to the comparison.
#[test]
fn a_golden_log_with_one_planted_change_is_not_replayed() {
    let [recording] = RECORDINGS;
    let whole = log(recording);
    // The parts up to the limits are enough, and quicker.
    let (log, _) = whole.split_once("# every limit").unwrap();
    assert!(replayed(recording, log).is_ok());

    let audited = line_with(log, "enrol a person");
    let mut changes = vec![
        ("a letter of a recorded text", audited.to_owned(), audited.replace("enrol a person", "enroll a person")),
        ("a letter of a reason", line_with(log, "catalog install` first\t").to_owned(), String::new()),
    ];
    changes[1].2 = changes[1].1.replace("run `catalog", "Run `catalog");
    let note = line_with(log, "back the state up");
    let (fields, command) = note.rsplit_once('\t').unwrap();
    let mut bytes = BASE64.decode(command.as_bytes()).unwrap();
    let at = bytes.windows(4).position(|window| window == b"back").unwrap();
    bytes[at] = b'B';
    let command = BASE64.encode(&bytes);
    changes.push(("a byte of a command", note.to_owned(), format!("{fields}\t{command}")));
    let refused = line_with(log, "refused unknown-token");
    changes.push(("a refusal", refused.to_owned(), refused.replace("unknown-token", "expired-token")));
    let counted = line_with(log, "\tbatch ");
    changes.push(("a time", counted.to_owned(), counted.replace("batch 1", "batch 2")));
    let (index, rest) = counted.split_once('\t').unwrap();
    let digit = if rest.starts_with('0') { '1' } else { '0' };
    changes.push(("a digit of a hash", counted.to_owned(), format!("{index}\t{digit}{}", &rest[1..])));
    for (change, from, to) in changes {
        assert_ne!(from, to, "{change}");
        let changed = log.replacen(&from, &to, 1);
        let Err(difference) = replayed(recording, &changed) else { panic!("{change} was not found") };
        assert_eq!(difference.index.to_string(), from.split('\t').next().unwrap(), "{change}: {difference}");
    }

    let done = line_with(log, "install key");
    let Err(difference) = replayed(recording, &log.replacen(&format!("{done}\n"), "", 1)) else {
        panic!("a missing entry was not found")
    };
    assert_ne!(difference.found, difference.recorded);
    let snapshot = |format| {
        let mut bytes = fs::read(folder(recording).join(format!("state-{format}.bin"))).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    assert!(replay(log, snapshot).is_err(), "a changed snapshot was not found");
}
