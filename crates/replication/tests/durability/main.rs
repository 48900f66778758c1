//! Acknowledged activations are on the disk: after a kill, after a crash of the operating system, and by the order
//! of the system calls. Each test that shows this also runs with the barrier removed, and must then detect the
//! loss.
//!
//! These tests need root (mounting), `mkfs.ext4`, `mount` and `strace`; if one is missing they fail and name it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod acknowledgement_order;
mod disk_image;
mod failed_sync;
mod hanging_disk;
mod kill;
mod operating_system_crash;
mod power_cut;
mod strict;
mod writer;
