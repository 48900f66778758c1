//! Compiles the messages of this crate from `proto/` without an installed `protoc`.

use std::error::Error;
use std::path::Path;

const FILES: [&str; 10] = [
    "activation.proto",
    "catalog.proto",
    "command.proto",
    "direct_activation.proto",
    "host_activation.proto",
    "lifecycle.proto",
    "registry.proto",
    "settings.proto",
    "snapshot.proto",
    "tokens.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    // A build script runs in its package's folder, wherever it was compiled.
    let folder = Path::new("../../proto");
    for file in FILES {
        println!("cargo::rerun-if-changed={}", folder.join(file).display());
    }
    let descriptors = protox::compile(FILES, [folder])?;
    // With `Bytes`, a record of a log entry borrows from the entry's buffer instead of copying each of its ids.
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
