//! The client of a host: one request, one verified answer.
//!
//! A publisher embeds this crate to let its software activate itself in volume. [`activate`] asks one host once, on a
//! connection of its own; a [`Session`] carries several requests on one connection. Either gives a [`ReceivedAnswer`] only
//! after every signature held: the publisher's over the host's certificate, and the host's over this very request.
//! All else is an [`ActivateError`], sorted by who is to blame.
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
//! A tokio runtime with I/O and time enabled must be there. What a host says unsigned, a refusal or a fault, is only
//! reported: it must not change the state of a license, because anybody on the way can say it.
//!
//! Invariant: never takes a host's word for anything that the publisher's keys do not vouch for.

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

/// The types of keys, answers and states, for those who depend on this crate alone.
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
