//! The specification of `publisher`, as tests: the files of its folder, the catalogs that it signs, what a key
//! grants, and what survives SIGKILL.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken assumption should fail the test")]

mod activations;
mod backups;
mod catalogs;
mod direct;
mod folder;
mod hand_over;
mod keys;
mod killed;
mod spent;
mod world;
