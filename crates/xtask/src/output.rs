//! Prints text for the person who runs the command.

use std::fmt::Display;
use std::io::Write;

/// Prints one line on stdout. A reader that closed the pipe (`cargo xtask verify | head`) does not end the command.
pub(crate) fn say(line: impl Display) {
    print(std::io::stdout().lock(), line);
}

/// Prints one line on stderr, for what is not the command's result.
pub(crate) fn note(line: impl Display) {
    print(std::io::stderr().lock(), line);
}

fn print(mut to: impl Write, line: impl Display) {
    let _ = writeln!(to, "{line}").and_then(|()| to.flush());
}
