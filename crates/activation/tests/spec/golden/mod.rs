//! Golden logs: entries that older versions wrote give the same state, results and bytes with today's code.
//!
//! `cargo xtask golden record COMMIT` writes them with that commit's code; `tests/golden/recorder/log/main.rs`
//! describes their content. During an upgrade a node of that version and a node of this version are in one cluster
//! and compare their state hashes.

mod coverage;
mod names;
mod replay;

use std::fs;
use std::path::PathBuf;

use data_encoding::BASE64;

use self::coverage::Coverage;
use self::replay::{Difference, replay};

/// The recording that the code of one commit wrote.
struct Recording {
    /// The beginning of the commit's hash.
    commit: &'static str,
    /// The formats in which every command and refusal is recorded.
    formats: &'static [u32],
}

const RECORDINGS: [Recording; 2] =
    [Recording { commit: "aa5b105", formats: &[1, 2] }, Recording { commit: "bd99c00", formats: &[3] }];

fn folder(commit: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(commit)
}

fn log(commit: &str) -> String {
    fs::read_to_string(folder(commit).join("log.txt")).unwrap()
}

fn replayed(commit: &str, log: &str) -> Result<Coverage, Difference> {
    replay(log, |format| fs::read(folder(commit).join(format!("state-{format}.bin"))).unwrap())
}

#[test]
fn golden_logs_give_the_recorded_hashes_results_texts_and_bytes_and_hold_every_command_and_refusal() {
    for Recording { commit, formats } in RECORDINGS {
        match replayed(commit, &log(commit)) {
            Ok(coverage) => {
                println!("{commit}: {}", coverage.met());
                assert_eq!(coverage.wrong(formats), Vec::<String>::new(), "{commit}");
            }
            Err(difference) => panic!("{commit}: {difference}"),
        }
    }
}

/// The first line that holds `text`.
fn line_with<'a>(log: &'a str, text: &str) -> &'a str {
    log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no line has {text:?}"))
}

/// The comparison detects a changed replicated text, result or encoding.
#[test]
fn a_golden_log_with_one_planted_change_is_not_replayed() {
    let recording = "aa5b105";
    let whole = log(recording);
    // The parts before the limits suffice and run faster.
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

/// The comparison detects a change also where codes replace texts and a command holds a command.
#[test]
fn a_golden_log_of_format_3_with_one_planted_change_is_not_replayed() {
    let recording = "bd99c00";
    let whole = log(recording);
    let (log, _) = whole.split_once("# every limit").unwrap();
    assert!(replayed(recording, log).is_ok());
    let repeated = line_with(log, "\trepeated ");
    let (_, before) = repeated.split_once("\trepeated ").unwrap();
    let (before, _) = before.split_once(' ').unwrap();
    let carried_out = log.lines().find(|line| line.starts_with(&format!("{before}\t"))).unwrap();
    let (_, other) = line_with(log, "install key").rsplit_once('\t').unwrap();
    let with_other = |line: &str| format!("{}\t{other}", line.rsplit_once('\t').unwrap().0);
    let newer = line_with(log, "\tnewer\t");
    for (change, from, to) in [
        ("a repeated command that is done", repeated, repeated.replace("\trepeated ", "\tdone ")),
        ("another command under the id", carried_out, with_other(carried_out)),
        ("a newer command that is passed over", newer, newer.replace("\tnewer\t", "\trefused malformed/encoding\t")),
    ] {
        assert_ne!(from, to, "{change}");
        let Err(difference) = replayed(recording, &log.replacen(from, &to, 1)) else {
            panic!("{change} was not found")
        };
        assert_eq!(difference.index.to_string(), from.split('\t').next().unwrap(), "{change}: {difference}");
    }
    // Without the entry that carried the command out, a later entry carries it out.
    assert!(replayed(recording, &log.replacen(&format!("{carried_out}\n"), "", 1)).is_err());
}
