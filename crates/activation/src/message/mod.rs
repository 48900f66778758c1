//! What client, host and log say: requests, the records made of them, and signed answers.
//!
//! Bytes become values only through validation: a [`ValidRequest`] cannot be made of bad bytes, and a [`VerifiedAnswer`]
//! exists only after every signature held.

mod answer;
mod interface;
mod record;
mod refusal;
mod request;

pub use self::answer::{AnswerBody, AnswerError, VerifiedAnswer, sign_answer, verify_answer};
pub use self::interface::{ACTIVATE_OPNUM, INTERFACE_OPERATIONS, INTERFACE_UUID, INTERFACE_VERSION};
pub use self::record::{MalformedRecord, Record};
pub use self::refusal::RefusalDetail;
pub use self::request::{LicenseStatus, MalformedRequest, Request, ValidRequest};
