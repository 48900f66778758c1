//! Runs the commands of a document as a reader would.
//!
//! Fenced blocks have these kinds: `sh` is typed into one terminal, block after block; `sh background` is typed into
//! another terminal, where it keeps running; `text` is the output of the commands before it, where `…` stands for any
//! text.

use std::{ffi::OsString, os::unix::fs::symlink, path::Path, process::Stdio};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{CLibrary, Quorate, TIMEOUT, c_library};

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// Commands for the main terminal.
    Commands(String),
    /// Commands for another terminal, where they keep running.
    Background(String),
    /// The expected output of the commands before it.
    Output(String),
}

/// The fenced blocks of a Markdown document that hold commands or output.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let inside = lines.by_ref().take_while(|line| line.trim() != "```");
        let text: String = inside.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect();
        match kind.trim() {
            "sh" => blocks.push(Block::Commands(text)),
            "sh background" => blocks.push(Block::Background(text)),
            "text" => blocks.push(Block::Output(text)),
            _ => {}
        }
    }
    blocks
}

/// The first line of `expected` that is not found in `printed` after the line before it; `None` where all lines are
/// found.
pub fn missing<'a>(expected: &'a str, printed: &str) -> Option<&'a str> {
    let mut printed = printed.lines();
    expected
        .lines()
        .filter(|line| !matches!(line.trim(), "" | "…"))
        .find(|expected| !printed.any(|line| matches_line(expected, line)))
}

/// Whether the line holds the parts between `…` in their order. White space between words may differ, because it
/// depends on the terminal's width.
fn matches_line(expected: &str, line: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, line) = (words(expected), words(line));
    let parts: Vec<_> = expected.split('…').map(str::trim).collect();
    let [first, between @ .., last] = parts.as_slice() else { return line == expected };
    let Some(rest) = line.strip_prefix(first) else { return false };
    let rest = between.iter().try_fold(rest, |rest, part| Some(rest.split_once(part)?.1));
    rest.is_some_and(|rest| rest.ends_with(last))
}

/// A reader with a separate machine, `quorate` in its `PATH`, and as many terminals as the document needs.
///
/// Documents use fixed ports and end processes by name. So the reader's processes and network are in namespaces,
/// which need root or user namespaces. When the reader is dropped, all processes end that were started there.
#[derive(Debug)]
pub struct Reader {
    /// Dropped first, so that the processes end before their files are removed.
    _machine: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    background: usize,
    folder: TempDir,
}

/// Marks the end of a block's output; no command prints this line by itself.
const END: &str = "-- end of block:";

/// Files of the repository that documents use, with their names in the reader's folder.
const FILES: [(&str, &str); 3] = [
    ("example.toml", concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/catalogs/example.toml")),
    ("editor.c", concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/client-c/examples/editor.c")),
    ("quorate_client.h", concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/client-c/include/quorate_client.h")),
];

impl Reader {
    /// A reader who has the binary, the library for C, and the repository's examples.
    pub async fn new(quorate: &Quorate) -> Self {
        let folder = tempfile::Builder::new().prefix("quorate-").tempdir().expect("there is a temporary folder");
        let programs = folder.path().join("bin");
        std::fs::create_dir(&programs).expect("a new folder takes another one");
        symlink(quorate.program(), programs.join("quorate")).expect("a new folder takes a link");
        let library = c_library(CLibrary::Shared);
        symlink(&library, folder.path().join("libquorate_client.so")).expect("a new folder takes a link");
        for (name, path) in FILES {
            std::fs::copy(path, folder.path().join(name)).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        let path = [programs.into_os_string(), std::env::var_os("PATH").unwrap_or_default()].join(&OsString::from(":"));
        let mut machine = machine(folder.path(), &path).spawn().expect("util-linux has unshare");
        let input = machine.stdin.take().expect("its input is piped");
        let output = machine.stdout.take().expect("its output is piped");
        let output = BufReader::new(output).lines();
        let mut reader = Self { _machine: machine, input, output, background: 0, folder };
        let (printed, code) = reader.run("ip link set lo up").await;
        assert_eq!(code, 0, "a machine of its own needs a loopback: {printed}");
        reader
    }

    /// Runs commands in the main terminal; returns their output and the exit code of the last one.
    pub async fn run(&mut self, commands: &str) -> (String, i32) {
        // All blocks run in the same shell, so that a later block sees variables that an earlier one set. Standard
        // input is empty: no command can ask a question.
        let script = format!("{{\n{commands}\n}} </dev/null 2>&1\nprintf '\\n{END} %s\\n' \"$?\"\n");
        self.input.write_all(script.as_bytes()).await.expect("the shell reads");
        let mut printed = String::new();
        let ended = timeout(TIMEOUT, async {
            while let Some(line) = self.output.next_line().await.expect("commands print UTF-8") {
                match line.strip_prefix(END) {
                    Some(code) => return code.trim().parse().ok(),
                    None => printed += &format!("{line}\n"),
                }
            }
            None
        });
        match ended.await {
            Ok(Some(code)) => (printed, code),
            Ok(None) => panic!("ended the shell:\n{commands}\nprinted:\n{printed}"),
            Err(_) => panic!("does not end:\n{commands}\nprinted so far:\n{printed}"),
        }
    }

    /// Starts commands in another terminal.
    pub async fn start(&mut self, commands: &str) {
        let log = terminal(self.background);
        let script = format!("(\n{commands}\n) </dev/null >{log} 2>&1 &\n");
        self.input.write_all(script.as_bytes()).await.expect("the shell reads");
        self.background += 1;
    }

    /// The output of all background terminals.
    pub fn said(&self) -> String {
        let said = |number| std::fs::read_to_string(self.folder.path().join(terminal(number))).unwrap_or_default();
        (0..self.background).map(said).collect::<Vec<_>>().join("----\n")
    }
}

fn terminal(number: usize) -> String {
    format!("terminal{number}.log")
}

/// A shell that is the first process in its own namespaces.
fn machine(folder: &Path, path: &OsString) -> Command {
    let mut machine = Command::new("unshare");
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("QUORATE_") {
            machine.env_remove(variable);
        }
    }
    if !rustix::process::geteuid().is_root() {
        machine.arg("--map-root-user");
    }
    machine
        .args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh"])
        .current_dir(folder)
        .env("PATH", path)
        .env("NO_COLOR", "1")
        // The saved contexts of the account that runs the tests are not used or changed.
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    machine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_what_their_fences_say() {
        let text = "a\n```sh\none\n```\n```sh background\ntwo &\n```\n```toml\nx = 1\n```\n- in a list\n  ```text\n  three\n  ```\n";
        let [one, two, three] = ["one\n", "two &\n", "three\n"].map(str::to_owned);
        assert_eq!(blocks(text), [Block::Commands(one), Block::Background(two), Block::Output(three)]);
    }

    #[test]
    fn output_is_found_line_by_line_and_an_ellipsis_is_anything() {
        let printed = "one\n  two   words\nthree of 25\n";
        for (expected, missed) in [
            ("one\nthree of 25", None),
            ("two words\n…\nthree of …", None),
            ("… of …", None),
            ("three …5", None),
            ("three of 2", Some("three of 2")),
            ("three …4", Some("three …4")),
            ("three of 25\none", Some("one")),
            ("words", Some("words")),
        ] {
            assert_eq!(missing(expected, printed), missed, "{expected:?}");
        }
    }
}
