//! Lets the code of an older commit write a golden log: every command, outcome and refusal, in every format that it writes.
//!
//! `cargo xtask golden record COMMIT` places this folder into the `activation` crate of that commit, as an example, and runs
//! it there: it uses that commit's public API and is not part of this workspace's build. Keys, times and ids are fixed, so a
//! second run writes the same bytes.
//!
//! ```text
//! golden_log FOLDER
//! FOLDER/log.txt              one line an entry, fields separated by tabs:
//!                             index, state hash after it, what applying gave, the audit entry that it added, the command
//! FOLDER/state-FORMAT.bin     the state as a snapshot holds it, at the lines `# snapshot FORMAT`
//! ```
//! The command is base64. A line that begins with `#` is a comment, or says that a snapshot was written.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a recording that fails is no recording"
)]

mod catalogs;
mod fill;
mod malformed;
mod names;
mod pass;
mod recording;
mod world;

#[allow(clippy::all, unreachable_pub, dead_code, reason = "generated code")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/quorate.activation.v1.rs"));
}

use std::path::Path;

use activation::state::Format;

use crate::recording::Recording;

fn main() {
    let folder = std::env::args().nth(1).expect("usage: golden_log FOLDER");
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder).unwrap();
    let mut recording = Recording::new(folder);

    recording.section("format 1");
    pass::record(&mut recording, 1, false);
    recording.snapshot();

    recording.section("format 2: administrators' acts are audited");
    let newest = Format::newest();
    assert_eq!(newest.number(), 2, "this recorder knows formats 1 and 2");
    recording.set_format(newest);
    pass::record(&mut recording, 2, true);
    recording.snapshot();

    recording.section("every limit reached, in format 2");
    fill::record(&mut recording);
    recording.section("back to format 1: the audit goes");
    recording.set_format(Format::OLDEST);
    fill::refused_at_the_limits(&mut recording, false);
    recording.section("format 2 again, with more acts than the audit keeps");
    recording.set_format(newest);
    fill::audit_overflows(&mut recording);
    recording.finish();
    println!("{} entries", recording.entries());
}
