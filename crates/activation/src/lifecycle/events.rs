//! A client's reports of an exchange: events 12288 and 12289, with their fields in the documented order.

use std::fmt;

use crate::id::{Cmid, ProductId};
use crate::message::{AnswerBody, Request};
use crate::status::Status;

/// Event 12288: the client sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSent {
    /// The result of sending.
    pub status: Status,
    /// Always 0; kept for programs that read events by position.
    pub flags: u32,
    /// The host as `HOST:PORT`, as discovery found it or an administrator set it.
    pub host: String,
    pub cmid: Cmid,
    pub client_time_ms: u64,
    pub virtual_machine: bool,
    /// The license status as a number, 0 to 6.
    pub license_status: u8,
    pub minutes_to_expiry: u32,
    pub product: ProductId,
    /// The threshold, where the catalog in the trust file has it.
    pub required_count: u32,
}

impl RequestSent {
    pub const ID: u32 = 12288;

    #[must_use]
    pub fn new(status: Status, host: String, request: &Request, required_count: u32) -> Self {
        Self {
            status,
            flags: 0,
            host,
            cmid: request.cmid,
            client_time_ms: request.client_time_ms,
            virtual_machine: request.virtual_machine,
            license_status: request.license_status as u8,
            minutes_to_expiry: request.minutes_to_expiry,
            product: request.product,
            required_count,
        }
    }
}

impl fmt::Display for RequestSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, flags, host, cmid, client_time_ms, license_status, minutes_to_expiry, product, .. } = self;
        let (virtual_machine, required) = (u8::from(self.virtual_machine), self.required_count);
        write!(f, "{status},{flags},{host},{cmid},{client_time_ms},{virtual_machine},{license_status},")?;
        write!(f, "{minutes_to_expiry},{product},{required}")
    }
}

/// Event 12289: the client processed an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerProcessed {
    pub status: Status,
    /// Always 0.
    pub flags: u32,
    /// Whether the answer makes the machine licensed.
    pub is_bound: bool,
    pub count: u32,
    pub activation_interval_minutes: u32,
    pub renewal_interval_minutes: u32,
    pub client_time_ms: u64,
}

impl AnswerProcessed {
    pub const ID: u32 = 12289;

    /// The report of a host's refusal. A refusal is unsigned, so it changes no state.
    #[must_use]
    pub fn refused(status: Status, client_time_ms: u64) -> Self {
        let (activation_interval_minutes, renewal_interval_minutes) = (0, 0);
        Self {
            status,
            flags: 0,
            is_bound: false,
            count: 0,
            activation_interval_minutes,
            renewal_interval_minutes,
            client_time_ms,
        }
    }

    #[must_use]
    pub fn new(body: &AnswerBody, client_time_ms: u64) -> Self {
        let is_bound = body.is_activated();
        Self {
            status: if is_bound { Status::OK } else { Status::BELOW_THRESHOLD },
            flags: 0,
            is_bound,
            count: body.count,
            activation_interval_minutes: body.activation_interval_minutes,
            renewal_interval_minutes: body.renewal_interval_minutes,
            client_time_ms,
        }
    }
}

impl fmt::Display for AnswerProcessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, flags, count, client_time_ms, .. } = self;
        let (bound, intervals) =
            (u8::from(self.is_bound), (self.activation_interval_minutes, self.renewal_interval_minutes));
        write!(f, "{status},{flags},{bound},{count},{},{},{client_time_ms}", intervals.0, intervals.1)
    }
}
