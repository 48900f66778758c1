//! The header describes the library. It is generated from the source and committed, so that building needs no
//! cbindgen.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

/// The files that cbindgen reads, by name, so that it does not have to call cargo.
const SOURCES: [&str; 3] = ["failure.rs", "status.rs", "calls.rs"];

#[test]
fn the_header_is_what_cbindgen_makes_of_the_source() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut builder =
        cbindgen::Builder::new().with_config(cbindgen::Config::from_file(package.join("cbindgen.toml")).unwrap());
    for source in SOURCES {
        builder = builder.with_src(package.join("src").join(source));
    }
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let committed = package.join("include/quorate_client.h");
    if std::fs::read_to_string(&committed).unwrap_or_default() != made {
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quorate_client.h");
        std::fs::write(&fresh, made).unwrap();
        panic!("the source has changed: cp {} {}", fresh.display(), committed.display());
    }
}
