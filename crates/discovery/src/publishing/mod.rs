//! A node's desired records in DNS, the records that are there, and the update between the two.

mod classification;
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
mod signature;
mod signer;
mod zone_text;

pub use classification::{JudgedRecord, MemberRecord, RecordState, classify};
pub use desired::{Desired, Domain, Neighbours};
pub use difference::{PresentRecords, RecordChange, RefusedChange, Update, difference, withdrawal};
pub use error::PublishError;
#[cfg(feature = "gss-tsig")]
pub use gss::GssKey;
#[cfg(feature = "gss-tsig")]
pub use kerberos::KerberosError;
pub use key::{Algorithm, Credentials, KeyFileError, TsigKey};
pub use primary::{Primary, PrimaryError};
pub use publisher::{Addresses, ChangeReport, RecordPublisher};
pub use schedule::Schedule;
pub use signature::AnswerSignatures;
pub use zone_text::{delegation_lines, update_policy, zone_lines};
