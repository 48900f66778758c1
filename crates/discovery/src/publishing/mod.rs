//! What a node wants to stand in DNS, what stands there, and the update between the two.

mod conversation;
mod desired;
mod difference;
mod error;
#[cfg(feature = "gss-tsig")]
mod gss;
mod key;
mod message;
mod primary;
mod publisher;
mod schedule;
mod signer;
mod standing;
mod zone_text;

pub use desired::{Desired, Domain, Neighbours};
pub use difference::{Change, Standing, Update, difference, withdrawal};
pub use error::PublishError;
#[cfg(feature = "gss-tsig")]
pub use gss::GssKey;
#[cfg(feature = "gss-tsig")]
pub use kerberos::KerberosError;
pub use key::{Algorithm, Credentials, KeyFileError, TsigKey};
pub use primary::{Primary, PrimaryError};
pub use publisher::{Addresses, Outcome, Publisher};
pub use schedule::Schedule;
pub use signer::AnswerSignatures;
pub use standing::{Entry, Member, State, classify};
pub use zone_text::{delegation_lines, update_policy, zone_lines};
