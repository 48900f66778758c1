//! Describes the machine: [`Machine`] for requests and reports, [`Identity`] to determine whether the hardware is
//! still the same (R23).
//!
//! Everything is read from files that Linux offers to an unprivileged reader, below a root folder that the caller
//! gives. So a test can lay out a machine in a folder, and a container's host can be described from inside. Only one
//! fact is not a file: whether the wall clock is synchronised.
//!
//! ```
//! use machine::{Identity, Machine};
//!
//! let root = tempfile::tempdir()?; // "/" for the machine itself
//! std::fs::create_dir_all(root.path().join("proc/sys/kernel"))?;
//! std::fs::write(root.path().join("proc/sys/kernel/hostname"), "desk-17\n")?;
//! assert_eq!(Machine::read(root.path()).name.to_string(), "desk-17");
//!
//! let recorded = Identity::read(root.path());
//! assert!(recorded.change_to(&Identity::read(root.path())).is_within_tolerance());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Invariant: never returns an identifying value of a machine, only a short digest of it; never fails: a file that
//! cannot be read counts as absent.

mod choice;
mod description;
mod digest;
mod fact;
mod factors;
mod identity;
mod synchronised;

pub use choice::{Choice, is_container};
pub use description::Machine;
pub use digest::FactorDigest;
pub use factors::Factor;
pub use identity::{Identity, IdentityChange};
pub use synchronised::is_clock_synchronised;
