//! The binary. All code is in the library, so that tests can build it with other features.

use std::process::ExitCode;

fn main() -> ExitCode {
    quorate::main()
}
