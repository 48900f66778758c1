//! The binary of the product, with additional switches that only tests may use.

use std::process::ExitCode;

fn main() -> ExitCode {
    quorate::main()
}
