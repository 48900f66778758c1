//! What a machine says of itself: [`Machine`] for requests and reports, [`Identity`] to tell whether it is still the same
//! hardware (R23).
//!
//! Everything is read from files that Linux offers to an unprivileged reader, below a root that the caller names, so that
//! a test lays out a machine in a folder and a container's host can be described from inside. One fact is no file: whether
//! the wall clock is synchronised.
//!
//! Invariant: never gives away what identifies a machine: it leaves this crate as a short digest, and never fails: what
//! cannot be read is not there.

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
