//! The specification of `publisher`, as tests: what is in its folder, which catalogs it signs, what a key gives, and
//! what outlives a kill.

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
