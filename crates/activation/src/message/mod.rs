//! Messages of clients, hosts and the log: requests, the records made from them, and signed answers.
//!
//! Bytes become values only through validation: a [`ValidRequest`] cannot be built from malformed bytes, and a
//! [`VerifiedAnswer`] exists only after every signature was verified.

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
