//! The binary as people run it, and with it the switches that only tests may have.

use std::process::ExitCode;

fn main() -> ExitCode {
    quorate::main()
}
