//! Text for the person who called the command.

use std::fmt::Display;
use std::io::Write;

/// Prints one line. A reader that went away (`cargo xtask verify | head`) is no reason to stop.
pub(crate) fn say(line: impl Display) {
    print(std::io::stdout().lock(), line);
}

/// Prints one line on stderr: what is not the command's result.
pub(crate) fn note(line: impl Display) {
    print(std::io::stderr().lock(), line);
}

fn print(mut to: impl Write, line: impl Display) {
    let _ = writeln!(to, "{line}").and_then(|()| to.flush());
}
