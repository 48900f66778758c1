//! A question at the terminal.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, anyhow};

use crate::output::Failure;

/// R30: a host key is not installed by accident, and an activation slot is not given back by accident.
pub(super) fn confirm(question: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(anyhow!("nobody is there to confirm: give --yes")));
    }
    let mut terminal = io::stderr().lock();
    terminal.write_all(question.as_bytes()).and_then(|()| terminal.flush()).context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    if answer.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        Err(anyhow!("not confirmed: nothing was done").into())
    }
}
