//! The domain of volume activation, as pure code: catalogs, keys and certificates, messages, the count, cluster
//! time.
//!
//! Everything on which a publisher, a host and a client must agree is here, as functions from values to values.
//! Bytes from elsewhere become validated types at the edge ([`message`], [`catalog`], [`certificate`], [`trust`]).
//! The replicated [`state`] takes encoded commands and arrives at the same bytes on every node.
//!
//! Units: `..._ms` is milliseconds since the Unix epoch; monotonic times are a [`std::time::Duration`] since an
//! arbitrary origin that the caller chooses. Numbers such as R12 refer to the project's list of requirements.
//!
//! ```
//! use activation::count::{Count, Seen};
//! use activation::id::{Cmid, MachineDigest, ProductId};
//!
//! let seen = Seen {
//!     node: 1,
//!     product: ProductId([7; 16]),
//!     machine: MachineDigest([1; 8]),
//!     machine_name: "desk-17".parse()?,
//!     virtual_machine: false,
//! };
//! let (threshold, now_ms) = (5, 1_790_000_000_000);
//! let mut count = Count::new();
//! for machine in 1..=4 {
//!     count.record(threshold, Cmid([machine; 16]), seen.clone(), now_ms, now_ms);
//! }
//! let (counted, _) = count.record(threshold, Cmid([5; 16]), seen, now_ms, now_ms);
//! assert_eq!(counted, threshold);
//! # Ok::<(), activation::id::InvalidId>(())
//! ```
//!
//! Invariant: never reads a clock, a file or a socket, and never draws a random number; time and entropy are arguments.

#![forbid(unsafe_code)]

pub mod audit;
pub mod catalog;
pub mod certificate;
pub mod channel;
pub mod clock;
pub mod coded;
pub mod count;
pub mod direct;
pub mod host_activation;
pub mod hresult;
pub mod id;
pub mod key;
pub mod lifecycle;
pub mod limits;
pub mod message;
pub mod phone_text;
pub mod settings;
pub mod state;
pub mod status;
pub mod trust;

mod parted;
mod signature;
mod symbols;

#[allow(clippy::all, unreachable_pub, reason = "generated code")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/quorate.activation.v1.rs"));
}

pub use ed25519_dalek::{SigningKey, VerifyingKey};
