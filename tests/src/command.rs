//! Runs commands of the binary under test.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use crate::TIMEOUT;

/// The binary under test; runs commands.
#[derive(Clone, Debug)]
pub struct Quorate {
    program: PathBuf,
}

/// The result of a command that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code; `None` where a signal ended the command.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Quorate {
    /// The binary at `program`: tests get the path from `env!("CARGO_BIN_EXE_quorate-under-test")`.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Path of the binary.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A command without the settings of the account that runs the tests; its process is killed when it is dropped.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        self.command_in(&[], arguments)
    }

    /// A command with other words before it, which say where it runs.
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

    /// Runs a command until it ends.
    ///
    /// # Panics
    /// When the command does not end in time.
    pub async fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
        finished(&mut self.command(arguments)).await
    }

    /// Runs a command that must succeed with `--json`, and returns the one JSON object that it prints.
    ///
    /// # Panics
    /// When the command fails or prints anything else.
    pub async fn json(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Value {
        let mut words: Vec<_> = arguments.into_iter().map(|word| word.as_ref().to_owned()).collect();
        words.push("--json".into());
        let finished = self.run(&words).await;
        assert_eq!(finished.code, Some(0), "{words:?}: {}", finished.stderr);
        finished.json()
    }
}

/// Runs a command until it ends.
///
/// # Panics
/// When the command does not end in time.
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
    /// Standard output as JSON.
    ///
    /// # Panics
    /// When standard output is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}
