//! A cluster under faults, deterministic, in virtual time, judged by an oracle of its own.

#[cfg(not(tokio_unstable))]
compile_error!(
    "build without a RUSTFLAGS variable: .cargo/config.toml sets `--cfg tokio_unstable`, which the simulation needs"
);

fn main() {}
