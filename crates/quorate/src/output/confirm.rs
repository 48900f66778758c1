//! Asks for confirmation at the terminal before something is lost.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, anyhow};

use super::Failure;

/// Asks for confirmation. Without a terminal it fails and names `option`, which confirms in advance (R30: a
/// host key is not installed by accident, and an activation slot is not given back by accident).
pub(crate) fn confirm(question: &str, option: &str) -> Result<(), Failure> {
    if !can_ask() {
        return Err(Failure::usage(anyhow!("stdin is not a terminal: re-run with {option} to confirm")));
    }
    ask(question)
}

/// Whether standard input is a terminal.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks at the terminal; every answer but `y` refuses.
pub(super) fn ask(question: &str) -> Result<(), Failure> {
    let mut terminal = io::stderr().lock();
    terminal.write_all(question.as_bytes()).and_then(|()| terminal.flush()).context("cannot write to the terminal")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the confirmation")?;
    if answer.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        Err(anyhow!("not confirmed: nothing was changed").into())
    }
}
