//! No acknowledgement is written before the barrier that covers it, as the order of the system calls proves.
//!
//! The rule: for every acknowledged CMID there is a first write to sled's file `db` that contains its sixteen
//! bytes, and an `fdatasync` or `fsync` of that file which begins after that write has returned, and returns 0
//! before the write of the acknowledgement begins. `sync_file_range` is not a barrier and does not count.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use crate::writer::{Barrier, PROGRAM, tool};

/// One system call. Times are line numbers of the trace.
#[derive(Debug)]
struct Call {
    name: String,
    arguments: String,
    began: usize,
    returned: usize,
    result: String,
}

impl Call {
    /// The path of the file of its descriptor.
    fn file(&self) -> String {
        let file = self.arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        file.map_or_else(String::new, |(file, _)| text(file))
    }

    fn is_on_database(&self) -> bool {
        self.file().ends_with("/sled/db")
    }

    /// The bytes written, as strace writes them: `\x00\x01...`.
    fn written(&self) -> &str {
        self.arguments.split('"').nth(1).unwrap_or("")
    }
}

/// Parses a trace of several threads: a call that is interrupted by another thread's call is in two parts.
fn parse(trace: &str) -> Vec<Call> {
    let mut unfinished = BTreeMap::new();
    let mut calls = Vec::new();
    for (line_number, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        let (began, whole) = match rest.strip_prefix("<... ") {
            None => (line_number, rest.to_owned()),
            Some(resumed) => {
                let (_, end) = resumed.split_once(" resumed>").expect("a resumed call");
                let Some((began, beginning)) = unfinished.remove(thread) else { continue };
                (began, format!("{beginning}{end}"))
            }
        };
        if let Some(beginning) = whole.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, (began, beginning.to_owned()));
            continue;
        }
        let Some((call, result)) = whole.rsplit_once(" = ") else { continue };
        let (name, arguments) = call.split_once('(').expect("a call has arguments");
        calls.push(Call {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            began,
            returned: line_number,
            result: result.to_owned(),
        });
    }
    calls
}

/// The acknowledgements that came before their barrier, and the number of all acknowledgements.
fn premature(trace: &str) -> (Vec<String>, usize) {
    let calls = parse(trace);
    let database: Vec<_> = calls.iter().filter(|call| call.is_on_database()).collect();
    let writes: Vec<_> = database.iter().filter(|call| call.name.contains("write")).collect();
    let barriers: Vec<_> = database
        .iter()
        .filter(|call| ["fdatasync", "fsync"].contains(&call.name.as_str()) && call.result == "0")
        .collect();
    let acknowledgements = calls.iter().filter(|call| call.name == "write" && call.arguments.starts_with("1<"));
    let mut premature = Vec::new();
    let mut all = 0;
    for acknowledgement in acknowledgements {
        let line = text(acknowledgement.written());
        let cmid = line.split_whitespace().nth(2).expect("an acknowledgement has three words");
        let bytes = as_written(cmid);
        let write = writes.iter().find(|write| write.written().contains(&bytes));
        let write = write.unwrap_or_else(|| panic!("{cmid} was never written to the database"));
        let covers = |barrier: &&&&Call| barrier.began > write.returned && barrier.returned < acknowledgement.began;
        if barriers.iter().find(covers).is_none() {
            premature.push(cmid.to_owned());
        }
        all += 1;
    }
    (premature, all)
}

/// The text that a string of `\x..` encodes.
fn text(written: &str) -> String {
    let bytes = written.split("\\x").filter(|byte| !byte.is_empty());
    bytes.map(|byte| char::from(u8::from_str_radix(byte, 16).unwrap())).collect()
}

/// A string as strace writes it.
fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// A CMID as strace writes its bytes.
fn as_written(cmid: &str) -> String {
    let digits: Vec<_> = cmid.chars().filter(|digit| *digit != '-').collect();
    digits.chunks(2).map(|byte| format!("\\x{}{}", byte[0], byte[1])).collect()
}

const ACTIVATIONS: usize = 400;

fn trace(barrier: Barrier) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("trace");
    let mut command = Command::new("strace");
    barrier.set(&mut command);
    command.args(["--follow-forks", "--decode-fds=path", "--strings-in-hex=all", "--string-limit=4194304"]);
    command.args(["--trace", "write,pwrite64,writev,pwritev,pwritev2,fdatasync,fsync,sync_file_range", "--output"]);
    command.arg(&output).arg(PROGRAM).arg("write").arg(folder.path().join("data")).arg(ACTIVATIONS.to_string());
    tool("strace", &mut command);
    fs::read_to_string(Path::new(&output)).unwrap()
}

#[test]
fn machine_every_acknowledgement_follows_the_barrier_that_covers_it() {
    assert_eq!(premature(&trace(Barrier::InPlace)), (vec![], ACTIVATIONS));
}

#[test]
fn machine_without_the_barrier_acknowledgements_are_seen_to_come_too_early() {
    let (premature, all) = premature(&trace(Barrier::TakenAway));
    assert_eq!((premature.len(), all), (ACTIVATIONS, ACTIVATIONS));
}

#[test]
fn the_rule_wants_a_barrier_between_the_write_and_the_acknowledgement() {
    let cmid = "01020304-0000-0000-0000-000000000000";
    let (database, other, stdout) = (hex("/d/sled/db"), hex("/d/other"), hex("pipe:[1]"));
    let write = format!(r#"7 pwrite64(5<{database}>, "\xff{}", 17, 0) = 17"#, as_written(cmid));
    let begun = write.replace(") = 17", " <unfinished ...>");
    let acknowledgement = format!(r#"8 write(1<{stdout}>, "{}", 41) = 41"#, hex(&format!("1 0 {cmid}\n")));
    let returned = "7 <... pwrite64 resumed>)              = 17";
    let barrier = format!("9 fdatasync(5<{database}>) = 0");
    let barrier_begun = format!("9 fdatasync(5<{database}> <unfinished ...>");
    let barrier_returned = "9 <... fdatasync resumed>)     = 0";
    let fsync = format!("9 fsync(6<{database}>) = 0");
    let of_another = format!("9 fdatasync(5<{other}>) = 0");
    let failed = format!("9 fdatasync(5<{database}>) = -1 EIO (Input/output error)");
    let cases: [(&str, &[&str], bool); 9] = [
        ("in order", &[&write, &barrier, &acknowledgement], true),
        ("fsync will do", &[&write, &fsync, &acknowledgement], true),
        ("in order, though in parts", &[&begun, returned, &barrier, &acknowledgement], true),
        ("no barrier", &[&write, &acknowledgement], false),
        ("barrier before the write", &[&barrier, &write, &acknowledgement], false),
        ("barrier of another file", &[&write, &of_another, &acknowledgement], false),
        ("barrier failed", &[&write, &failed, &acknowledgement], false),
        ("barrier begun before the write returned", &[&begun, &barrier, returned, &acknowledgement], false),
        (
            "barrier returned after the acknowledgement",
            &[&write, &barrier_begun, &acknowledgement, barrier_returned],
            false,
        ),
    ];
    for (case, lines, kept) in cases {
        let (premature, all) = premature(&lines.join("\n"));
        assert_eq!((premature.is_empty(), all), (kept, 1), "{case}");
    }
}
