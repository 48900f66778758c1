//! The writer program, as a child process.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_crash_writer");

/// Whether the barrier is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Barrier {
    InPlace,
    TakenAway,
}

impl Barrier {
    pub(crate) fn set(self, command: &mut Command) {
        match self {
            Self::InPlace => command.env_remove("QUORATE_FAULT_SKIP_SYNC"),
            Self::TakenAway => command.env("QUORATE_FAULT_SKIP_SYNC", "1"),
        };
    }
}

/// A writer at work. Killed when dropped.
pub(crate) struct Writer {
    child: Child,
    lines: BufReader<ChildStdout>,
    acknowledged: Vec<String>,
}

impl Writer {
    pub(crate) fn start(folder: &Path, barrier: Barrier) -> Self {
        let mut command = Command::new(PROGRAM);
        barrier.set(&mut command);
        let mut child = command.arg("write").arg(folder).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, acknowledged: Vec::new() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads until the writer has acknowledged as many activations.
    pub(crate) fn wait_for(&mut self, acknowledged: usize) {
        while self.acknowledged.len() < acknowledged {
            assert!(self.next(), "the writer ended by itself");
        }
    }

    /// Kills it (signal 9), and returns all that it had acknowledged.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        while self.next() {}
        std::mem::take(&mut self.acknowledged)
    }

    fn next(&mut self) -> bool {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let whole = line.ends_with('\n');
        if whole {
            self.acknowledged.push(line);
        }
        whole
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// What the checker says of activations that were acknowledged and are not in the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost(String);

/// Opens the store again and looks every acknowledged activation up.
pub(crate) fn check(folder: &Path, acknowledged: &[String], scratch: &Path) -> Result<(), Lost> {
    let acks = scratch.join("acknowledged");
    fs::write(&acks, acknowledged.concat()).unwrap();
    let output = Command::new(PROGRAM).arg("check").arg(folder).arg(&acks).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(Lost(words(&output))) }
}

/// Runs a tool that the test cannot do without.
pub(crate) fn tool(name: &str, command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("this test needs the program `{name}`: {error}"));
    assert!(output.status.success(), "`{name}` failed; this test needs root: {}", words(&output));
    output
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
