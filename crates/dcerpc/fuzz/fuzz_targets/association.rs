//! Any bytes against both associations: `cargo +nightly fuzz run association` in `crates/dcerpc`.

#![no_main]

#[path = "../../tests/wire/echo.rs"]
mod echo;
#[path = "../../tests/wire/stream.rs"]
mod stream;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| stream::check(octets));
