//! Commands of the binary under test.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use crate::TIMEOUT;

/// The binary under test.
#[derive(Clone, Debug)]
pub struct Quorate {
    program: PathBuf,
}

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it printed for the one who asked.
    pub stdout: String,
    /// What it printed besides.
    pub stderr: String,
}

impl Quorate {
    /// The one at `program`: tests know it as `env!("CARGO_BIN_EXE_quorate-under-test")`.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Where it is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A command that knows nothing of the settings of whoever runs the tests, and ends when it is dropped.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        self.command_in(&[], arguments)
    }

    /// The same behind other words, which say where it runs.
    pub(crate) fn command_in(
        &self,
        place: &[String],
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let mut words = place.iter().map(OsStr::new).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("QUORATE_") || variable == "RUST_LOG" {
                command.env_remove(variable);
            }
        }
        command.args(arguments).env("NO_COLOR", "1").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
        finished(&mut self.command(arguments)).await
    }

    /// Runs a command that must succeed, with `--json`, and gives its one object.
    ///
    /// # Panics
    /// When it fails or prints anything else.
    pub async fn json(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Value {
        let mut words: Vec<_> = arguments.into_iter().map(|word| word.as_ref().to_owned()).collect();
        words.push("--json".into());
        let finished = self.run(&words).await;
        assert_eq!(finished.code, Some(0), "{words:?}: {}", finished.stderr);
        finished.json()
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it does not end.
pub async fn finished(command: &mut Command) -> Finished {
    let output = timeout(TIMEOUT, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} does not end"));
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("commands print UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("commands print UTF-8"),
    }
}

impl Finished {
    /// Standard output as the one JSON object that it is.
    ///
    /// # Panics
    /// When it is something else.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}
