//! The publisher's side: catalogs signed, host keys issued, hosts activated within their limits (R30, R31, R34).
//!
//! A publisher is a folder that belongs to one person or service account:
//!
//! ```text
//! DIR/root.key           private: signs catalogs and the activation keys; belongs offline
//! DIR/activation-1.key   private: signs node certificates; a service needs one of the two and nothing else
//! DIR/activation-2.key
//! DIR/trust.toml         public: what clients are given; embeds the catalog that was signed last
//! DIR/publisher.toml     the publisher's name, where it was given
//! DIR/records/           which keys were issued, which hosts were activated with them
//! ```
//! A private key is read when something is to be signed with it, so a folder without `root.key` still issues and
//! activates. Records are durable before an answer leaves: a place that was given is never given again.
//!
//! Invariant: never returns a key or a certificate that its records could forget.

#![forbid(unsafe_code)]

mod activate;
mod catalogs;
mod clock;
mod credential;
mod entropy;
mod folder;
mod key;
pub mod limits;
mod records;

#[allow(clippy::all, unreachable_pub, reason = "generated code")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/quorate.publisher.v1.rs"));
}

use std::path::{Path, PathBuf};

use activation::trust::Trust;

pub use crate::activate::{ActivateError, Reason, Refusal, Refusals};
pub use crate::catalogs::SignError;
pub use crate::credential::CredentialError;
pub use crate::folder::{InitError, OpenError};
pub use crate::key::{Host, IssueError, IssuedKey, KeyLimits};
pub use crate::records::RecordsError;

/// An open publisher folder. Only one process has it open at a time.
pub struct Publisher {
    folder: PathBuf,
    name: Option<String>,
    trust: Trust,
    records: records::Records,
}

impl Publisher {
    /// The public file in the folder that clients are given.
    pub const TRUST_FILE: &str = "trust.toml";

    /// Makes the keys, the trust file and empty records of a new publisher in `folder`, which is missing or empty and
    /// which nobody but its owner can enter afterwards. A `name` binds its catalogs: see [`Self::sign_catalog`].
    pub fn init(folder: &Path, name: Option<&str>) -> Result<Self, InitError> {
        folder::init(folder, name)
    }

    /// Opens the folder of [`Self::init`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        folder::open(folder)
    }

    /// Its public keys and the catalog that was signed last.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }
}
