//! Text for the person who called the command.

use std::fmt::Display;
use std::io::Write;

/// Prints one line. A reader that went away (`cargo xtask verify | head`) is no reason to stop.
pub(crate) fn say(line: impl Display) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
