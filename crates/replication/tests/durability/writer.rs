//! The writer program, as a child process.

use std::{
    fmt, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_crash_writer");

/// Whether the barrier is in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// After how many entries, if ever, the writer makes a snapshot and purges the entries that it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Snapshots {
    Never,
    EveryEntries(u32),
}

impl Snapshots {
    fn set(self, command: &mut Command) {
        match self {
            Self::Never => command.env_remove("QUORATE_TEST_SNAPSHOT_EVERY"),
            Self::EveryEntries(entries) => command.env("QUORATE_TEST_SNAPSHOT_EVERY", entries.to_string()),
        };
    }
}

/// A running writer. It is killed when dropped.
pub(crate) struct Writer {
    child: Child,
    lines: BufReader<ChildStdout>,
    acknowledged: Vec<String>,
}

impl Writer {
    pub(crate) fn start(folder: &Path, barrier: Barrier, snapshots: Snapshots) -> Self {
        let mut command = Command::new(PROGRAM);
        barrier.set(&mut command);
        snapshots.set(&mut command);
        let mut child = command.arg("write").arg(folder).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, acknowledged: Vec::new() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads until the writer has acknowledged this many activations.
    pub(crate) fn wait_for(&mut self, acknowledged: usize) {
        while self.acknowledged.len() < acknowledged {
            assert!(next(&mut self.lines, &mut self.acknowledged), "the writer ended by itself");
        }
    }

    /// Waits until the writer ends by itself, and returns all activations that it had acknowledged.
    pub(crate) fn end(mut self) -> Vec<String> {
        while next(&mut self.lines, &mut self.acknowledged) {}
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(1), "the writer fails with an error");
        std::mem::take(&mut self.acknowledged)
    }

    /// Kills the writer (signal 9), and returns all activations that it had acknowledged.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        while next(&mut self.lines, &mut self.acknowledged) {}
        std::mem::take(&mut self.acknowledged)
    }

    /// Kills the writer after `wait` has returned, and returns the acknowledged activations; its output is read in
    /// the meantime.
    pub(crate) fn kill_after<T: Send>(mut self, wait: impl FnOnce() -> T + Send) -> (T, Vec<String>) {
        let Self { child, lines, acknowledged } = &mut self;
        let waited = thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let waited = wait();
                child.kill().unwrap();
                waited
            });
            while next(lines, acknowledged) {}
            waiting.join().unwrap()
        });
        (waited, std::mem::take(&mut self.acknowledged))
    }
}

/// Reads one line; returns `false` at the end, where a line may be incomplete.
fn next(lines: &mut BufReader<ChildStdout>, acknowledged: &mut Vec<String>) -> bool {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let whole = line.ends_with('\n');
    if whole {
        acknowledged.push(line);
    }
    whole
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The program's message about a damaged store: acknowledged activations are missing, or the store cannot be
/// opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost(String);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Opens the store again and looks up every acknowledged activation.
pub(crate) fn check(folder: &Path, acknowledged: &[String], scratch: &Path) -> Result<(), Lost> {
    let acks = scratch.join("acknowledged");
    fs::write(&acks, acknowledged.concat()).unwrap();
    run(Command::new(PROGRAM).arg("check").arg(folder).arg(&acks)).map(drop)
}

/// Runs the writer until it has recorded this many activations, and returns those that it acknowledged: all of
/// them.
pub(crate) fn write(folder: &Path, activations: usize) -> Result<Vec<String>, Lost> {
    write_with(folder, activations, |_| {})
}

/// Like [`write`], with changes to the command line.
pub(crate) fn write_with(
    folder: &Path,
    activations: usize,
    set: impl FnOnce(&mut Command),
) -> Result<Vec<String>, Lost> {
    let mut command = Command::new(PROGRAM);
    set(command.arg("write").arg(folder).arg(activations.to_string()));
    let written = run(&mut command)?;
    let acknowledged: Vec<_> =
        String::from_utf8_lossy(&written.stdout).split_inclusive('\n').map(str::to_owned).collect();
    assert_eq!(acknowledged.len(), activations);
    Ok(acknowledged)
}

fn run(program: &mut Command) -> Result<Output, Lost> {
    Barrier::InPlace.set(program);
    Snapshots::Never.set(program);
    // The message must contain the cause without a backtrace.
    program.env("RUST_BACKTRACE", "0").env_remove("RUST_LIB_BACKTRACE");
    let output = program.output().unwrap();
    if output.status.success() { Ok(output) } else { Err(Lost(words(&output))) }
}

/// Runs a tool that the test needs; fails if the tool does.
pub(crate) fn tool(name: &str, command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("this test needs the program `{name}`: {error}"));
    assert!(output.status.success(), "`{name}` failed; this test needs root: {}", words(&output));
    output
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
