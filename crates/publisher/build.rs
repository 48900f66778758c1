//! Compiles the records of this crate from `proto/` without an installed `protoc`.

use std::error::Error;
use std::path::Path;

const FILE: &str = "publisher.proto";

fn main() -> Result<(), Box<dyn Error>> {
    // A build script runs in its package's folder, wherever it was compiled.
    let folder = Path::new("../../proto");
    println!("cargo::rerun-if-changed={}", folder.join(FILE).display());
    let descriptors = protox::compile([FILE], [folder])?;
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
