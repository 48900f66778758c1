//! The client of a host: one request, one verified answer.
//!
//! A publisher embeds this crate so that its software can activate itself in volume. [`activate`] asks one host
//! once, on a separate connection; a [`Session`] carries several requests on one connection. Both return a
//! [`ReceivedAnswer`] only after every signature was verified: the publisher's over the host's certificate, and the
//! host's over exactly this request. Everything else is an [`ActivateError`], sorted by which side is to blame.
//!
//! ```no_run
//! use activation::id::ProductId;
//! use activation::trust::Trust;
//! use client::{Deadlines, HostAddress, Machine, activate, random_cmid, request};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let trust = Trust::from_toml(&std::fs::read_to_string("publisher.toml")?)?;
//! let product = ProductId::derive(trust.publisher, "workstation-professional-2");
//! let host: HostAddress = "host.example.test".parse()?;
//!
//! let request = request(trust.publisher, product, random_cmid()?, &Machine::this())?;
//! let answered = activate(&host, &request, &trust, Deadlines::default()).await?;
//! if answered.answer.body.is_activated() {
//!     println!("activated: {} of {}", answered.answer.body.count, answered.answer.body.threshold);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] is a machine with its state folder: it keeps the licence and asks again when it is due.
//!
//! ```
//! use client::{Client, Options};
//! # use client::activation::{SigningKey, catalog::{Catalog, SignedCatalog}, trust::Trust};
//!
//! # let [root, first, second] = [1, 2, 3].map(|seed| SigningKey::from_bytes(&[seed; 32]));
//! # let keys = [first.verifying_key(), second.verifying_key()];
//! # let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/catalogs/example.toml"));
//! # let catalog = SignedCatalog::sign(&Catalog::from_toml(text)?, keys, &root);
//! # let trust = Trust::issue(&root, keys, Some(&catalog))?;
//! # let folder = tempfile::tempdir()?;
//! let mut client = Client::open(folder.path(), trust, Options::default())?;
//! client.install_key("P257E-J9HE2-3ADQ7-CQCZK-Y8M5G".parse()?, None)?;
//! assert!(!client.status()?.is_licensed()); // in its first grace, until `activate` or `next` got an answer
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The caller provides a tokio runtime with I/O and time enabled. An unsigned reply of a host, a refusal or a fault,
//! is only reported: it must not change the license state, because an attacker on the network path can send it.
//!
//! Invariant: never trusts anything from a host that the publisher's keys do not sign, directly or through the
//! host's certificate.

mod address;
mod client;
mod client_error;
mod connect;
mod direct;
mod error;
mod event;
mod hosts;
pub mod limits;
mod publishing;
mod request;
mod session;
mod state;

/// The types of keys, answers and states, for programs that depend on this crate alone.
pub use activation;
pub use address::{HostAddress, InvalidAddress};
pub use client::{Attempt, Client, ClientStatus, Options};
pub use client_error::ClientError;
pub use direct::{DirectActivationError, activate_directly};
pub use discovery::{AskedName, FindError, FixedHost, FoundHost, NameAnswer, Search};
pub use error::{ActivateError, NotAHost, NotReached};
pub use event::Event;
pub use hosts::{AskError, Exchange, FoundBy, Hosts, Lookup, LookupError, Tried};
pub use limits::Deadlines;
pub use machine::Machine;
pub use publishing::{Publishing, PublishingError, Refusal};
pub use request::{NoEntropy, random_cmid, request, time_ms};
pub use session::{ReceivedAnswer, Session, activate};
pub use state::{StateError, StateFolder};
