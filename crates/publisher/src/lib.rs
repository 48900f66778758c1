//! The publisher's side: signs catalogs, issues keys, and activates hosts and machines within their limits (R24,
//! R30, R31, R34).
//!
//! A publisher is a folder that belongs to one person or service account:
//!
//! ```text
//! DIR/root.key           private: signs catalogs and the activation keys; belongs offline
//! DIR/activation-1.key   private: signs node certificates; a service needs one of the two and nothing else
//! DIR/activation-2.key
//! DIR/trust.toml         public: what clients are given; embeds the catalog that was signed last
//! DIR/publisher.toml     the publisher's name, where it was given
//! DIR/publisher.sock     where a running service takes the commands of the folder's owner
//! DIR/records/           which keys were issued, what was activated with them
//! ```
//! With a passphrase the private keys are encrypted; `openssl` reads them either way. A private key is read when it
//! is first needed for a signature, so a folder without `root.key` can still issue keys and activate. Records are
//! durable before an answer is sent: an activation slot is never granted twice.
//!
//! A [`Service`] activates hosts and machines online. The requests of commands are [`Operation`]s; they are the same
//! whether the command or a service has the folder open.
//!
//! ```
//! use publisher::{KeyLimits, Publisher};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let parent = tempfile::tempdir()?;
//! # let folder = parent.path().join("publisher");
//! # let catalog = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/catalogs/example.toml"));
//! let publisher = Publisher::init(&folder, Some("Northlight Software"), None)?;
//! publisher.sign_catalog(catalog, None)?; // the text of a catalog, such as deploy/catalogs/example.toml
//! let issued = publisher.issue_key("server-b", KeyLimits::default()).await?;
//! assert_eq!(publisher.key(issued.key.key_id())?.limits.hosts, 6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariant: never returns a key or a certificate that its records could forget.

#![forbid(unsafe_code)]

mod activate;
mod backup;
mod catalogs;
mod clock;
mod credential;
mod direct_key;
mod entropy;
mod folder;
mod issued;
mod key;
pub mod limits;
mod operation;
#[allow(clippy::all, unreachable_pub, reason = "generated code")]
mod proto;
mod publisher;
mod records;
mod refusal;
mod service;
mod spent;
mod verified;

pub use crate::activate::ActivateError;
pub use crate::backup::{BACKUP_FORMAT, Backup, RestoreError, Restored};
pub use crate::catalogs::SignError;
pub use crate::credential::{CredentialError, NotAPassphrase, Passphrase};
pub use crate::direct_key::{DirectError, DirectReason};
pub use crate::folder::{InitError, OpenError};
pub use crate::issued::{DirectKey, Host, IssuedKey, KeyLimits, RequiredIdentity};
pub use crate::key::{ChangeError, IssueError};
pub use crate::operation::{
    ActivatedNode, ActivatedReport, BackupReport, CatalogReport, DirectKeyReport, HostReport, KeyReport, Operation,
    OperationError, OperationErrorKind, ReleasedNode, Report, perform,
};
pub use crate::publisher::{Publisher, Signing};
pub use crate::records::RecordsError;
pub use crate::refusal::{Reason, Refusal, Refusals};
pub use crate::service::{AskError, OrdinaryCertificate, ServeError, Service, ask};
