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
