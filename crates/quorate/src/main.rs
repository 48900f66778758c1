//! The binary; everything is in the library, so that tests can build it with their own features.

use std::process::ExitCode;

fn main() -> ExitCode {
    quorate::main()
}
