//! Makes the code of an older commit write a golden log: every command, outcome and refusal, in the newest format
//! that the commit writes.
//!
//! `cargo xtask golden record COMMIT` places this folder into the `activation` crate of that commit, as an example,
//! and runs it there. It uses that commit's public API and is not part of this workspace's build. Keys, times and ids
//! are fixed, so that a second run writes the same bytes.
//!
//! ```text
//! golden_log FOLDER
//! FOLDER/log.txt              one line for each entry, fields separated by tabs:
//!                             index, state hash after the entry, outcome, audit entry that it added, command
//! FOLDER/state-FORMAT.bin     the state as a snapshot holds it, written at the line `# snapshot FORMAT`
//! ```
//! The command is in base64. The hash is `-` where none was computed. A line that begins with `#` is a comment, or
//! marks that a snapshot was written.

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

use activation::state::{Command, Format};

use crate::recording::Recording;

fn main() {
    let folder = std::env::args().nth(1).expect("usage: golden_log FOLDER");
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder).unwrap();
    let mut recording = Recording::new(folder);

    let newest = Format::NEWEST;
    assert_eq!(newest.number(), 3, "this recorder knows format 3");
    recording.section("format 3");
    // A new cluster begins with this command.
    recording.expect("done", &Command::SetFormat { format: newest });
    pass::record(&mut recording, 3);

    recording.section("format 2: what a lowered format leaves");
    recording.done(Command::SetFormat { format: Format::AUDITED });
    pass::lowered(&mut recording, 3);
    recording.section("format 3 again");
    recording.done(Command::SetFormat { format: newest });
    pass::raised(&mut recording, 3);
    recording.snapshot();

    recording.section("every limit reached, in format 3");
    fill::record(&mut recording);
    recording.section("more acts and commands than are remembered");
    fill::audit_and_outcomes_overflow(&mut recording);
    recording.finish();
    println!("{} entries", recording.entries());
}
