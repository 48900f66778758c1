//! gRPC statuses of refused calls.

use replication::{ProposeError, Unavailable};
use tonic::Status;

/// Beginning of every message to a caller that lacks the right.
pub(crate) const ACCESS_DENIED: &str = "0x80070005: access denied";

pub(super) fn unavailable(error: Unavailable) -> Status {
    Status::unavailable(error.to_string())
}

pub(super) fn propose_error(error: ProposeError) -> Status {
    match error {
        ProposeError::Refused(why) => Status::failed_precondition(why),
        ProposeError::Unavailable(error) => unavailable(error),
        ProposeError::Unknown => Status::unknown(error.to_string()),
    }
}

pub(super) fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}
